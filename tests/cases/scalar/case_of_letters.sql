-- UPPER and LOWER beyond ASCII.
-- duckdb:
--   SELECT seq, UPPER(s) AS u, LOWER(txt) AS l, UPPER(dict) AS d
--   FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, UPPER(s) AS u, LOWER(txt) AS l, UPPER(dict) AS d
FROM events;
