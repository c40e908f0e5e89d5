-- The short form, with a key.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 10 SECOND) AS window_start, window_start + INTERVAL 10 SECOND AS window_end, k,
--     count(*) AS n FROM events GROUP BY ALL
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, window_end, k, COUNT(*) AS n FROM TUMBLE(events, ts, INTERVAL '10' SECOND)
GROUP BY window_start, window_end, k;
