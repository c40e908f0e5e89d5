-- Three aggregates on top of each other.
-- duckdb:
--   SELECT w, max(b) AS b, sum(n) AS n FROM (SELECT w, k % 3 AS r, max(n) AS b, sum(n) AS n FROM (
--     SELECT tumble(ts, INTERVAL 30 SECOND) AS w, k, name, count(*) AS n FROM events GROUP BY ALL) GROUP BY w, r)
--     GROUP BY w
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start AS w, MAX(b) AS b, SUM(n) AS n FROM (
  SELECT window_start, window_end, k % 3 AS r, MAX(n) AS b, SUM(n) AS n FROM (
    SELECT window_start, window_end, k, name, COUNT(*) AS n
    FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '30' SECOND)) GROUP BY window_start, window_end, k, name
  ) GROUP BY window_start, window_end, k % 3
) GROUP BY window_start, window_end;
