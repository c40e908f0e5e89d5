-- CONCAT_WS skips NULLs.
-- duckdb:
--   SELECT seq, concat_ws('-', name, 'm', dict) AS a
--   FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, CONCAT_WS('-', name, 'm', dict) AS a
FROM events;
