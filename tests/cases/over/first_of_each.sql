-- The first row of each key, by its number.
-- duckdb:
--   SELECT seq, k, ts FROM (SELECT *, row_number() OVER (PARTITION BY k ORDER BY ts, pos) AS rn FROM events) WHERE rn = 1
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, k, ts
FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY ts) AS rn FROM events) WHERE rn = 1;
