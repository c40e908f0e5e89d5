-- Windows of 10 s, gathered by their window_time into windows of 1 minute.
-- duckdb:
--   SELECT tumble(w, INTERVAL 1 MINUTE) AS window_start, k, sum(n) AS n, max(n) AS peak FROM (
--     SELECT tumble(ts, INTERVAL 10 SECOND) AS w, k, count(*) AS n FROM events GROUP BY ALL) GROUP BY ALL
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE VIEW tens AS
SELECT window_time AS t, k, COUNT(*) AS n
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '10' SECOND))
GROUP BY window_start, window_end, window_time, k;

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, k, SUM(n) AS n, MAX(n) AS peak
FROM TABLE(TUMBLE(TABLE tens, DESCRIPTOR(t), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, k;
