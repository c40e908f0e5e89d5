-- SUBSTRING in both spellings, from the middle and past the end.
-- duckdb:
--   SELECT seq, substr(txt, 6) AS a, substr(txt, 1, 4) AS b, substr(txt, 3, 2) AS c, substr(s, 50) AS d
--   FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, SUBSTRING(txt, 6) AS a, SUBSTRING(txt FROM 1 FOR 4) AS b, SUBSTR(txt, 3, 2) AS c, SUBSTRING(s, 50) AS d
FROM events;
