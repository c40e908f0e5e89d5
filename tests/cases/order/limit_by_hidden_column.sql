-- ORDER BY a column that is not in the output, with LIMIT.
-- duckdb: SELECT seq FROM events ORDER BY q DESC, seq LIMIT 40
-- ordered
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq FROM events ORDER BY q DESC, seq LIMIT 40;
