-- APPROX_DISTINCT is near the exact count.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 600 SECOND) AS window_start, symbol, count(DISTINCT buyer) AS d
--   FROM ticks GROUP BY ALL
-- tolerance: d=0.06
CREATE TABLE ticks (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/ticks.parquet', 'history.path' = '${HISTORY}/ticks');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, symbol, APPROX_DISTINCT(buyer) AS d
FROM TABLE(TUMBLE(TABLE ticks, DESCRIPTOR(ts), INTERVAL '600' SECOND))
GROUP BY window_start, window_end, symbol;
