-- Arithmetic over aggregates and keys.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 30 SECOND) AS window_start, coalesce(k, -1) * 10 AS kk, sum(q) * 2 + count(*) AS a,
--     max(f64) - min(f64) AS d, CASE WHEN count(*) > 20 THEN 'busy' ELSE 'calm' END AS c FROM events GROUP BY 1, k
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, COALESCE(k, -1) * 10 AS kk, SUM(q) * 2 + COUNT(*) AS a, MAX(f64) - MIN(f64) AS d,
  CASE WHEN COUNT(*) > 20 THEN 'busy' ELSE 'calm' END AS c
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '30' SECOND))
GROUP BY window_start, window_end, k;
