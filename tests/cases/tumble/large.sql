-- 20,000 rows, five keys, six aggregates.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 1 MINUTE) AS window_start, symbol, count(*) AS n, sum(qty) AS q, min(price) AS lo,
--     max(price) AS hi, avg(price) AS mean, sum(price * qty) AS turnover FROM ticks GROUP BY ALL
CREATE TABLE ticks (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/ticks.parquet', 'history.path' = '${HISTORY}/ticks');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, symbol, COUNT(*) AS n, SUM(qty) AS q, MIN(price) AS lo, MAX(price) AS hi, AVG(price) AS mean,
  SUM(price * qty) AS turnover
FROM TABLE(TUMBLE(TABLE ticks, DESCRIPTOR(ts), INTERVAL '1' MINUTE))
GROUP BY window_start, window_end, symbol;
