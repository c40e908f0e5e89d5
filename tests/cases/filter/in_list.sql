-- A long IN list, of integers and of strings.
-- duckdb:
--   SELECT seq, ts, k, f64 FROM events WHERE k IN (0, 2, 4, 6, 8, 10, 12, 14, 16) AND name NOT IN ('elm', 'x', 'nope')
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, ts, k, f64 FROM events WHERE k IN (0, 2, 4, 6, 8, 10, 12, 14, 16) AND name NOT IN ('elm', 'x', 'nope');
