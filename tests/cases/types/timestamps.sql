-- Timestamps of every unit, with and without zone.
-- duckdb: SELECT seq, ts, ts_s, ts_us, ts_ns, ts_utc FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, ts, ts_s, ts_us, ts_ns, ts_utc FROM events;
