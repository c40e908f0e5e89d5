-- COALESCE, IFNULL, NULLIF, IF.
-- duckdb:
--   SELECT seq, coalesce(k, q, 0) AS a, ifnull(name, 'none') AS c, nullif(q, 0) AS d, if(k > 3, 'yes', 'no') AS e,
--     coalesce(name, dict, 'x') AS f FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, COALESCE(k, q, 0) AS a, IFNULL(name, 'none') AS c, NULLIF(q, 0) AS d, IF(k > 3, 'yes', 'no') AS e,
  COALESCE(name, dict, 'x') AS f
FROM events;
