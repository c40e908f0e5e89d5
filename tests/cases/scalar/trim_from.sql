-- TRIM (BOTH | LEADING | TRAILING x FROM s).
-- duckdb:
--   SELECT seq, trim('x--' || s || 'xx', 'x') AS b, ltrim('xx' || s, 'x') AS l, rtrim(s || 'xx', 'x') AS t
--   FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, TRIM(BOTH 'x' FROM 'x--' || s || 'xx') AS b, TRIM(LEADING 'x' FROM 'xx' || s) AS l,
  TRIM(TRAILING 'x' FROM s || 'xx') AS t
FROM events;
