-- Comparisons of an integer column.
-- duckdb: SELECT seq, ts, k, f64 FROM events WHERE k > 2 AND q <= 5
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, ts, k, f64 FROM events WHERE k > 2 AND q <= 5;
