-- A LIMIT behind windows in order counts from window to window.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 10 SECOND) AS window_start, symbol, sum(qty) AS s FROM ticks
--   GROUP BY ALL ORDER BY window_start, s DESC, symbol LIMIT 25 OFFSET 3
-- ordered
CREATE TABLE ticks (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/ticks.parquet', 'history.path' = '${HISTORY}/ticks');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, symbol, SUM(qty) AS s
FROM TABLE(TUMBLE(TABLE ticks, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end, symbol
ORDER BY window_start, s DESC, symbol LIMIT 25 OFFSET 3;
