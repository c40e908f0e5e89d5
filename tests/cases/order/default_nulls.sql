-- NULLs are lowest where nothing is said, as in Flink: first ascending, last descending.
-- duckdb: SELECT seq, k, q FROM events ORDER BY k NULLS FIRST, q DESC NULLS LAST, seq
-- ordered
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, k, q FROM events ORDER BY k, q DESC, seq;
