-- COUNT(DISTINCT) of 20,000 buyers.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 600 SECOND) AS window_start, symbol, COUNT(DISTINCT buyer) AS d, COUNT(DISTINCT qty) AS q
--   FROM ticks GROUP BY ALL
CREATE TABLE ticks (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/ticks.parquet', 'history.path' = '${HISTORY}/ticks');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, symbol, COUNT(DISTINCT buyer) AS d, COUNT(DISTINCT qty) AS q
FROM TABLE(TUMBLE(TABLE ticks, DESCRIPTOR(ts), INTERVAL '600' SECOND))
GROUP BY window_start, window_end, symbol;
