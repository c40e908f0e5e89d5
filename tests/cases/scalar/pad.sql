-- LPAD and RPAD lengthen and cut.
-- duckdb:
--   SELECT seq, LPAD(s, 6, '*') AS l, RPAD(s, 4, 'ab') AS r
--   FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, LPAD(s, 6, '*') AS l, RPAD(s, 4, 'ab') AS r
FROM events;
