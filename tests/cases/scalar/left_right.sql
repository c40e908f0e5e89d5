-- LEFT and RIGHT.
-- duckdb:
--   SELECT seq, LEFT(txt, 4) AS l, RIGHT(txt, 3) AS r, LEFT(s, 0) AS z
--   FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, LEFT(txt, 4) AS l, RIGHT(txt, 3) AS r, LEFT(s, 0) AS z
FROM events;
