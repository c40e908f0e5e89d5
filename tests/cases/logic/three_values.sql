-- AND, OR, NOT over TRUE, FALSE and NULL.
-- duckdb: SELECT seq, b AND (k > 2) AS a, b OR (k > 2) AS o, NOT b AS n FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, b AND (k > 2) AS a, b OR (k > 2) AS o, NOT b AS n
FROM events;
