-- CASE WHEN … with NULL conditions, mixed number types and no ELSE.
-- duckdb:
--   SELECT seq, CASE WHEN k > 5 THEN 'high' WHEN k > 1 THEN 'mid' ELSE 'low or null' END AS a,
--     CASE WHEN b THEN k END AS c, CASE WHEN b THEN q ELSE f64 END AS d FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, CASE WHEN k > 5 THEN 'high' WHEN k > 1 THEN 'mid' ELSE 'low or null' END AS a,
  CASE WHEN b THEN k END AS c,
  CASE WHEN b THEN q ELSE f64 END AS d
FROM events;
