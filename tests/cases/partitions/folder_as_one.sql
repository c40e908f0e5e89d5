-- A folder is one partition, its files in path order.
-- duckdb: SELECT seq, k FROM events_days ORDER BY seq
-- ordered
CREATE TABLE days (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events_days', 'history.path' = '${HISTORY}/days');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, k FROM days;
