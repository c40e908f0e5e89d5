-- TRY_CAST gives NULL where CAST would fail.
-- duckdb:
--   SELECT seq, try_cast(substr(txt, 6, 2) AS INT) AS a, try_cast(name AS DOUBLE) AS c, try_cast(i32 AS SMALLINT) AS d
--   FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, TRY_CAST(SUBSTRING(txt, 6, 2) AS INT) AS a, TRY_CAST(name AS DOUBLE) AS c, TRY_CAST(i32 AS SMALLINT) AS d
FROM events;
