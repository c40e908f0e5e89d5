-- Decimals of 9, 18 and 38 digits.
-- duckdb: SELECT seq, d9, d18, d38 FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, d9, d18, d38 FROM events;
