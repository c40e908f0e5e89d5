-- 20,000 rows, nearly as many groups.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 5 MINUTE) AS window_start, buyer, symbol, count(*) AS n, sum(qty) AS q FROM ticks
--   GROUP BY ALL
CREATE TABLE ticks (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/ticks.parquet', 'history.path' = '${HISTORY}/ticks');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, buyer, symbol, COUNT(*) AS n, SUM(qty) AS q
FROM TABLE(TUMBLE(TABLE ticks, DESCRIPTOR(ts), INTERVAL '5' MINUTE))
GROUP BY window_start, window_end, buyer, symbol;
