-- Signed integers of all widths, their extremes and NULLs.
-- duckdb: SELECT seq, i8, i16, i32, i64 FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, i8, i16, i32, i64 FROM events;
