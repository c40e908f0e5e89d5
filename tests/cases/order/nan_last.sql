-- NaN is last among the doubles.
-- duckdb: SELECT seq, nasty FROM events WHERE nasty IS NOT NULL ORDER BY nasty, seq
-- ordered
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, nasty FROM events WHERE nasty IS NOT NULL ORDER BY nasty, seq;
