-- Money by country and minute.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 1 MINUTE) AS w, country, sum(amount) AS s, sum(amount * 0.19) AS vat, count(*) AS n
--   FROM payments GROUP BY ALL
CREATE TABLE payments (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/payments.parquet', 'history.path' = '${HISTORY}/payments');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start AS w, country, SUM(amount) AS s, SUM(amount * 0.19) AS vat, COUNT(*) AS n
FROM TABLE(TUMBLE(TABLE payments, DESCRIPTOR(ts), INTERVAL '1' MINUTE))
GROUP BY window_start, window_end, country;
