-- A sink path that is no file name gets part files.
-- duckdb: SELECT seq, name FROM events WHERE b
-- read: SELECT * FROM read_parquet('${OUT}/out/*.parquet')
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out', 'format' = 'parquet') AS
SELECT seq, name FROM events WHERE b;
