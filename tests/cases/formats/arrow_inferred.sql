-- Arrow IPC tells its own columns.
-- duckdb: SELECT * FROM simple
CREATE TABLE simple (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/simple.arrow', 'history.path' = '${HISTORY}/simple');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT * FROM simple;
