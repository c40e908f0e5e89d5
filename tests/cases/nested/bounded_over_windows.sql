-- An unwindowed aggregate over windowed ones, at the end of bounded input.
-- duckdb:
--   SELECT k, count(*) AS windows, max(n) AS peak, avg(s) AS mean
--   FROM (SELECT tumble(ts, INTERVAL 10 SECOND) AS w, k, count(*) AS n, sum(q) AS s FROM events GROUP BY ALL) GROUP BY k
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT k, COUNT(*) AS windows, MAX(n) AS peak, AVG(s) AS mean FROM (
  SELECT window_start, window_end, k, COUNT(*) AS n, SUM(q) AS s
  FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end, k
) GROUP BY k;
