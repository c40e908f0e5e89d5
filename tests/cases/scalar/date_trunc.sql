-- DATE_TRUNC.
-- duckdb:
--   SELECT seq, date_trunc('hour', ts_us) AS a, date_trunc('week', ts_us)::TIMESTAMP AS b,
--     date_trunc('year', ts_us)::TIMESTAMP AS c
--   FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, DATE_TRUNC('hour', ts_us) AS a, DATE_TRUNC('week', ts_us) AS b, DATE_TRUNC('year', ts_us) AS c
FROM events;
