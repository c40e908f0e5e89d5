-- Maps made of columns, and their values by key; a key that is not there gives NULL.
-- duckdb:
--   SELECT seq, k AS a, q AS b, CAST(NULL AS BIGINT) AS c, 2 AS n FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, m['k'] AS a, m['q'] AS b, m['z'] AS c, CARDINALITY(m) AS n
FROM (SELECT seq, MAP['k', k, 'q', q] AS m FROM events);
