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

-- Whether a payment was fraud is known a day later, when the owner of the card has looked: the same payments again, as reports.
CREATE TABLE reports (
    event_time TIMESTAMP(3),
    card_id BIGINT,
    terminal_id BIGINT,
    is_fraud BOOLEAN,
    known_at AS event_time + INTERVAL '1' DAY,
    WATERMARK FOR known_at AS known_at - INTERVAL '30' SECOND
) WITH (
    'connector' = 'fraud',
    'days' = '7',
    'payments-per-day' = '50000',
    'out-of-order' = '30s',
    'seed' = '7',
    'rows-per-second' = '50000',
    'history.path' = 'demo-out/reports'
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

-- What was known of each payment at its moment, with the label: train.py makes the model of it.
CREATE TABLE training (
    payment_id BIGINT,
    event_time TIMESTAMP(3),
    card BIGINT,
    terminal BIGINT,
    truly_fraud BOOLEAN,
    amount DOUBLE,
    hour_of_day BIGINT,
    card_count_1h BIGINT,
    card_sum_1h DOUBLE,
    card_count_1d BIGINT,
    card_sum_1d DOUBLE,
    card_count_7d BIGINT,
    amount_over_average DOUBLE,
    seconds_since_last BIGINT,
    terminal_count_1h BIGINT,
    terminal_count_1d BIGINT,
    terminal_sum_1d DOUBLE,
    terminal_reports_1d BIGINT,
    terminal_reports_7d BIGINT,
    card_reports_7d BIGINT
) WITH ('connector' = 'filesystem', 'path' = 'demo-out/training.parquet', 'sink.mode' = 'overwrite');

-- Payments that the model takes for fraud, and what each feature did to the score (in log-odds).
CREATE TABLE suspects (
    payment_id BIGINT,
    event_time TIMESTAMP(3),
    card BIGINT,
    terminal BIGINT,
    amount DOUBLE,
    truly_fraud BOOLEAN,
    score FLOAT,
    because MAP<STRING, DOUBLE>
) WITH ('connector' = 'filesystem', 'path' = 'demo-out/suspects.parquet', 'sink.mode' = 'overwrite');

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

-- Payments and reports as one stream, in the order in which things were known. Payments have an amount, reports a verdict.
CREATE VIEW known AS
SELECT event_time AS t, payment_id, card_id AS card, terminal_id AS terminal, amount, event_time AS paid_at, is_fraud AS truly_fraud,
    CAST(NULL AS BOOLEAN) AS reported
FROM payments
UNION ALL
SELECT known_at, CAST(NULL AS BIGINT), card_id, terminal_id, CAST(NULL AS DOUBLE), CAST(NULL AS TIMESTAMP(3)), CAST(NULL AS BOOLEAN), is_fraud
FROM reports;

-- What is known of each payment at its own moment: the model was trained on these very rows.
CREATE VIEW features AS
SELECT payment_id, t AS event_time, card, terminal, truly_fraud,
    amount,
    EXTRACT(HOUR FROM t) AS hour_of_day,
    card_count_1h, card_sum_1h, card_count_1d, card_sum_1d, card_count_7d,
    amount / card_avg_7d AS amount_over_average,
    TIMESTAMPDIFF(SECOND, paid_before, t) AS seconds_since_last,
    terminal_count_1h, terminal_count_1d, terminal_sum_1d,
    terminal_reports_1d, terminal_reports_7d, card_reports_7d
FROM (
    SELECT *,
        COUNT(amount) OVER c1h AS card_count_1h, SUM(amount) OVER c1h AS card_sum_1h,
        COUNT(amount) OVER c1d AS card_count_1d, SUM(amount) OVER c1d AS card_sum_1d,
        COUNT(amount) OVER c7d AS card_count_7d, AVG(amount) OVER c7d AS card_avg_7d,
        MAX(paid_at) OVER before AS paid_before,
        COUNT(amount) OVER t1h AS terminal_count_1h,
        COUNT(amount) OVER t1d AS terminal_count_1d, SUM(amount) OVER t1d AS terminal_sum_1d,
        COUNT(*) FILTER (WHERE reported) OVER t1d AS terminal_reports_1d,
        COUNT(*) FILTER (WHERE reported) OVER t7d AS terminal_reports_7d,
        COUNT(*) FILTER (WHERE reported) OVER c7d AS card_reports_7d
    FROM known
    WINDOW c1h AS (PARTITION BY card ORDER BY t RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW),
        c1d AS (PARTITION BY card ORDER BY t RANGE BETWEEN INTERVAL '1' DAY PRECEDING AND CURRENT ROW),
        c7d AS (PARTITION BY card ORDER BY t RANGE BETWEEN INTERVAL '7' DAY PRECEDING AND CURRENT ROW),
        before AS (PARTITION BY card ORDER BY t RANGE BETWEEN INTERVAL '7' DAY PRECEDING AND INTERVAL '1' SECOND PRECEDING),
        t1h AS (PARTITION BY terminal ORDER BY t RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW),
        t1d AS (PARTITION BY terminal ORDER BY t RANGE BETWEEN INTERVAL '1' DAY PRECEDING AND CURRENT ROW),
        t7d AS (PARTITION BY terminal ORDER BY t RANGE BETWEEN INTERVAL '7' DAY PRECEDING AND CURRENT ROW)
)
WHERE paid_at IS NOT NULL;

-- Trained by train.py on these features (XGBoost, 60 trees).
CREATE MODEL fraud WITH ('path' = 'examples/fraud/fraud.ubj');

CREATE VIEW scores AS
SELECT payment_id, event_time, card, terminal, amount, truly_fraud,
    PREDICT(fraud, amount, hour_of_day, card_count_1h, card_sum_1h, card_count_1d, card_sum_1d, card_count_7d, amount_over_average, seconds_since_last,
    terminal_count_1h, terminal_count_1d, terminal_sum_1d, terminal_reports_1d, terminal_reports_7d, card_reports_7d) AS score,
    EXPLAIN_PREDICT(fraud, amount, hour_of_day, card_count_1h, card_sum_1h, card_count_1d, card_sum_1d, card_count_7d, amount_over_average, seconds_since_last,
    terminal_count_1h, terminal_count_1d, terminal_sum_1d, terminal_reports_1d, terminal_reports_7d, card_reports_7d) AS because
FROM features;

-- One pass over the payments for all of them.
EXECUTE STATEMENT SET
BEGIN
    INSERT INTO terminal_hours SELECT * FROM hours;
    INSERT INTO training SELECT * FROM features;
    INSERT INTO suspects SELECT * FROM scores WHERE score > 0.5;
    INSERT INTO alerts SELECT * FROM odd_cards UNION ALL SELECT * FROM odd_terminals;
    INSERT INTO alert SELECT * FROM odd_cards UNION ALL SELECT * FROM odd_terminals;
END;
