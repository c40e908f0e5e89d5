-- Enrich, then aggregate in windows by a column of the bounded table.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 1 MINUTE) AS w, tier, count(*) AS n, sum(amount) AS s FROM payments p LEFT
--   JOIN cards c ON p.card = c.card GROUP BY ALL
CREATE TABLE payments (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/payments.parquet', 'history.path' = '${HISTORY}/payments');
CREATE TABLE cards WITH ('connector' = 'filesystem', 'path' = '${DATA}/cards.parquet');

CREATE VIEW enriched AS SELECT p.ts, c.tier, p.amount FROM payments AS p LEFT JOIN cards AS c ON p.card = c.card;

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start AS w, tier, COUNT(*) AS n, SUM(amount) AS s
FROM TABLE(TUMBLE(TABLE enriched, DESCRIPTOR(ts), INTERVAL '1' MINUTE))
GROUP BY window_start, window_end, tier;
