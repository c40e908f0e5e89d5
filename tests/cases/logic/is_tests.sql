-- IS [NOT] NULL, TRUE, FALSE, UNKNOWN.
-- duckdb:
--   SELECT seq, b IS NULL AS a, b IS NOT NULL AS c, b IS TRUE AS d, b IS NOT TRUE AS e, b IS FALSE AS f, b IS NULL AS g
--   FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, b IS NULL AS a, b IS NOT NULL AS c, b IS TRUE AS d, b IS NOT TRUE AS e, b IS FALSE AS f, b IS UNKNOWN AS g
FROM events;
