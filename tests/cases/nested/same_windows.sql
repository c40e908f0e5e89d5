-- Per key and window, then per window: mean, spread and number of keys.
-- duckdb:
--   SELECT w AS window_start, count(*) AS keys, avg(n) AS mean, max(s) AS top, min(k) AS lo FROM (
--     SELECT tumble(ts, INTERVAL 10 SECOND) AS w, k, count(*) AS n, sum(money) AS s FROM events GROUP BY ALL) GROUP BY 1
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, COUNT(*) AS keys, AVG(n) AS mean, MAX(s) AS top, MIN(k) AS lo FROM (
  SELECT window_start, window_end, k, COUNT(*) AS n, SUM(money) AS s
  FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end, k
) GROUP BY window_start, window_end;
