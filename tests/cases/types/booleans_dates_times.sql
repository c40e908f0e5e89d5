-- Booleans, dates before 1970, times of day in ms and us.
-- duckdb: SELECT seq, b, day, tod_ms, tod_us FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, b, day, tod_ms, tod_us FROM events;
