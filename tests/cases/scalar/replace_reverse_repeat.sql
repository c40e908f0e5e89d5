-- REPLACE, REVERSE, REPEAT.
-- duckdb:
--   SELECT seq, REPLACE(txt, 'user', 'u') AS a, REVERSE(s) AS b, REPEAT(s, 2) AS c
--   FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, REPLACE(txt, 'user', 'u') AS a, REVERSE(s) AS b, REPEAT(s, 2) AS c
FROM events;
