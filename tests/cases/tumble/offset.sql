-- A window offset.
-- duckdb:
--   SELECT tumble(ts - INTERVAL 3 SECOND, INTERVAL 10 SECOND) + INTERVAL 3 SECOND AS window_start, k, count(*) AS n
--   FROM events GROUP BY ALL
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, k, COUNT(*) AS n
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '10' SECOND, INTERVAL '3' SECOND))
GROUP BY window_start, window_end, k;
