-- Days that begin at 06:00.
-- duckdb:
--   SELECT tumble(ts - INTERVAL 6 HOUR, INTERVAL 1 DAY) + INTERVAL 6 HOUR AS window_start, count(*) AS n FROM events
--   GROUP BY ALL
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, COUNT(*) AS n
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '1' DAY, INTERVAL '6' HOUR))
GROUP BY window_start, window_end;
