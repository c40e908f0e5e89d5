-- MIN and MAX of bytes.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 5 SECOND) AS window_start, MIN(bin) AS a, MAX(bin) AS b
--   FROM events GROUP BY ALL
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, MIN(bin) AS a, MAX(bin) AS b
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '5' SECOND))
GROUP BY window_start, window_end;
