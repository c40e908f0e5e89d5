-- FILTER (WHERE …) on every kind of aggregate.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 20 SECOND) AS window_start, COUNT(*) FILTER (WHERE b) AS a,
--     SUM(q) FILTER (WHERE k > 2) AS s, AVG(f64) FILTER (WHERE name = 'cedar') AS v,
--     MAX(i64) FILTER (WHERE q > 100) AS never, COUNT(DISTINCT k) FILTER (WHERE q > 0) AS d,
--       BOOL_OR(b) FILTER (WHERE q < -10) AS o
--   FROM events GROUP BY ALL
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, COUNT(*) FILTER (WHERE b) AS a, SUM(q) FILTER (WHERE k > 2) AS s,
  AVG(f64) FILTER (WHERE name = 'cedar') AS v,
  MAX(i64) FILTER (WHERE q > 100) AS never, COUNT(DISTINCT k) FILTER (WHERE q > 0) AS d,
    BOOL_OR(b) FILTER (WHERE q < -10) AS o
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '20' SECOND))
GROUP BY window_start, window_end;
