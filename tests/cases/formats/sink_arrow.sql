-- Arrow IPC as output.
-- duckdb: SELECT seq, name, d9, ts_us FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.arrow') AS
SELECT seq, name, d9, ts_us FROM events;
