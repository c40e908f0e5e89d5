-- GREATEST and LEAST are NULL when an argument is.
-- duckdb:
--   SELECT seq, CASE WHEN k IS NOT NULL THEN greatest(k, q, 3) END AS g, CASE WHEN f64 IS NOT NULL
--     AND money IS NOT NULL THEN least(f64, money) END AS l
--   FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, GREATEST(k, q, 3) AS g, LEAST(f64, money) AS l
FROM events;
