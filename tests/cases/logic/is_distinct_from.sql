-- IS [NOT] DISTINCT FROM treats NULL as a value.
-- duckdb:
--   SELECT seq, k IS DISTINCT FROM q AS a, name IS NOT DISTINCT FROM dict AS b, k IS DISTINCT FROM NULL AS c FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, k IS DISTINCT FROM q AS a, name IS NOT DISTINCT FROM dict AS b, k IS DISTINCT FROM NULL AS c
FROM events;
