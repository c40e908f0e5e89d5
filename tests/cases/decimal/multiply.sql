-- Products keep every digit.
-- duckdb: SELECT seq, d9 * 2.5 AS a, d9 * d9 AS b, d9 * q AS c FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, d9 * 2.5 AS a, d9 * d9 AS b, d9 * q AS c FROM events;
