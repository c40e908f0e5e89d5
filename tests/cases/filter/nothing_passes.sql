-- No row passes: an empty output with its columns.
-- duckdb: SELECT seq, name FROM events WHERE seq < 0
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, name FROM events WHERE seq < 0;
