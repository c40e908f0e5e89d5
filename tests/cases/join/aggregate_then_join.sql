-- A windowed aggregate, enriched.
-- duckdb:
--   SELECT w, n, tier FROM (SELECT tumble(ts, INTERVAL 1 MINUTE) AS w, card, count(*) AS n FROM payments GROUP BY ALL) a
--   LEFT JOIN cards c ON a.card = c.card WHERE n > 2
CREATE TABLE payments (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/payments.parquet', 'history.path' = '${HISTORY}/payments');
CREATE TABLE cards WITH ('connector' = 'filesystem', 'path' = '${DATA}/cards.parquet');

CREATE VIEW counts AS
SELECT window_start AS w, card, COUNT(*) AS n
FROM TABLE(TUMBLE(TABLE payments, DESCRIPTOR(ts), INTERVAL '1' MINUTE))
GROUP BY window_start, window_end, card;

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT w, n, tier FROM counts AS a LEFT JOIN cards AS c ON a.card = c.card WHERE n > 2;
