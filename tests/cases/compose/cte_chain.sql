-- CTEs that build on each other.
-- duckdb:
--   WITH a AS (SELECT seq, q + 1 AS x FROM events), b AS (SELECT seq, x * 2 AS y FROM a WHERE x > 0),
--     c AS (SELECT seq, y - 1 AS z FROM b) SELECT seq, z FROM c WHERE z % 3 = 0
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
WITH a AS (SELECT seq, q + 1 AS x FROM events),
  b AS (SELECT seq, x * 2 AS y FROM a WHERE x > 0),
  c AS (SELECT seq, y - 1 AS z FROM b)
SELECT seq, z FROM c WHERE z % 3 = 0;
