-- CONCAT and || are NULL when an argument is.
-- duckdb:
--   SELECT seq, name || '/' || txt AS a, name || txt AS b
--   FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, CONCAT(name, '/', txt) AS a, name || txt AS b
FROM events;
