-- Payments stream in, windows close, alerts come out, and everything can be replayed.
-- ./x demo runs this file, then `pelton verify`, which computes it all again from the history and compares the digests.

-- A week of card payments of our own seeded simulator, sped up; a quarter of them arrive up to half a minute late.
CREATE TABLE payments (
    payment_id BIGINT,
    event_time TIMESTAMP(3),
    card_id BIGINT,
    terminal_id BIGINT,
    amount DOUBLE,
    country STRING,
    is_fraud BOOLEAN,
    WATERMARK FOR event_time AS event_time - INTERVAL '30' SECOND
) WITH (
    'connector' = 'fraud',
    'days' = '7',
    'payments-per-day' = '50000',
    'out-of-order' = '30s',
    'seed' = '7',
    'rows-per-second' = '50000',
    'history.path' = 'demo-out/history'
);

CREATE TABLE terminal_hours (
    window_start TIMESTAMP(3),
    window_end TIMESTAMP(3),
    terminal_id BIGINT,
    payments BIGINT,
    money DOUBLE,
    highest DOUBLE,
    frauds BIGINT
) WITH ('connector' = 'filesystem', 'path' = 'demo-out/terminal_hours.parquet', 'sink.mode' = 'overwrite');

CREATE TABLE alerts (
    window_end TIMESTAMP(3),
    what STRING,
    id BIGINT,
    payments BIGINT,
    highest DOUBLE,
    usual DOUBLE,
    truly_fraud BOOLEAN
) WITH ('connector' = 'filesystem', 'path' = 'demo-out/alerts.parquet', 'sink.mode' = 'overwrite');

CREATE TABLE alert (
    window_end TIMESTAMP(3),
    what STRING,
    id BIGINT,
    payments BIGINT,
    highest DOUBLE,
    usual DOUBLE,
    truly_fraud BOOLEAN
) WITH ('connector' = 'print');

-- What each terminal took in each hour.
CREATE VIEW hours AS
SELECT window_start, window_end, terminal_id, COUNT(*) AS payments, SUM(amount) AS money, MAX(amount) AS highest,
    COUNT(*) FILTER (WHERE is_fraud) AS frauds
FROM TABLE(TUMBLE(TABLE payments, DESCRIPTOR(event_time), INTERVAL '1' HOUR))
GROUP BY window_start, window_end, terminal_id;

-- A card whose highest payment of the day is far above its others.
CREATE VIEW odd_cards AS
SELECT window_end, 'card' AS what, card_id AS id, COUNT(*) AS payments, MAX(amount) AS highest,
    (SUM(amount) - MAX(amount)) / (COUNT(*) - 1) AS usual, BOOL_OR(is_fraud) AS truly_fraud
FROM TABLE(TUMBLE(TABLE payments, DESCRIPTOR(event_time), INTERVAL '1' DAY))
GROUP BY window_start, window_end, card_id
HAVING COUNT(*) >= 5 AND MAX(amount) > 25 * (SUM(amount) - MAX(amount)) / (COUNT(*) - 1);

-- A terminal with three or more reported frauds in one hour.
CREATE VIEW odd_terminals AS
SELECT window_end, 'terminal' AS what, terminal_id AS id, COUNT(*) AS payments, MAX(amount) AS highest,
    AVG(amount) AS usual, BOOL_OR(is_fraud) AS truly_fraud
FROM TABLE(TUMBLE(TABLE payments, DESCRIPTOR(event_time), INTERVAL '1' HOUR))
GROUP BY window_start, window_end, terminal_id
HAVING COUNT(*) FILTER (WHERE is_fraud) >= 3;

-- One pass over the payments for all of them.
EXECUTE STATEMENT SET
BEGIN
    INSERT INTO terminal_hours SELECT * FROM hours;
    INSERT INTO alerts SELECT * FROM odd_cards UNION ALL SELECT * FROM odd_terminals;
    INSERT INTO alert SELECT * FROM odd_cards UNION ALL SELECT * FROM odd_terminals;
END;
