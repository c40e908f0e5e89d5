-- TUMBLE as a table function in Flink's form; window_time is the end less one tick.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 10 SECOND) AS window_start, window_start + INTERVAL 10 SECOND AS window_end,
--     window_end - INTERVAL 1 MILLISECOND AS window_time, count(*) AS n FROM events GROUP BY 1
-- types: window_start=timestamp[ms] n=int64
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, window_end, window_time, COUNT(*) AS n
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '10' SECOND))
GROUP BY window_start, window_end, window_time;
