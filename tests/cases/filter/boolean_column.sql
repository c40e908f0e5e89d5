-- A bare boolean column and its negation.
-- duckdb: SELECT seq, ts, k, f64 FROM events WHERE b OR NOT b AND k = 3
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, ts, k, f64 FROM events WHERE b OR NOT b AND k = 3;
