-- Arithmetic and functions in the condition.
-- duckdb: SELECT seq, name FROM events WHERE (seq * 7 + q) % 5 = 0 AND abs(f64) < 900 AND length(name) > 3
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, name FROM events WHERE (seq * 7 + q) % 5 = 0 AND ABS(f64) < 900 AND CHAR_LENGTH(name) > 3;
