-- The hundred busiest windows.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 10 SECOND) AS window_start, symbol, sum(qty) AS s FROM ticks
--   GROUP BY ALL ORDER BY s DESC, window_start, symbol LIMIT 100
-- ordered
CREATE TABLE ticks (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/ticks.parquet', 'history.path' = '${HISTORY}/ticks');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, symbol, SUM(qty) AS s
FROM TABLE(TUMBLE(TABLE ticks, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end, symbol
ORDER BY s DESC, window_start, symbol LIMIT 100;
