-- Rows whose condition is NULL do not pass.
-- duckdb: SELECT seq, ts, k, f64 FROM events WHERE b AND name IS NOT NULL AND (k IS NULL OR k < 4)
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, ts, k, f64 FROM events WHERE b AND name IS NOT NULL AND (k IS NULL OR k < 4);
