-- ORDER BY on bounded input.
-- duckdb: SELECT seq, k, name FROM events ORDER BY k DESC NULLS LAST, name NULLS FIRST, seq
-- ordered
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, k, name FROM events ORDER BY k DESC NULLS LAST, name NULLS FIRST, seq;
