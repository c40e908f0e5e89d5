-- CASE x WHEN …; a NULL never matches.
-- duckdb:
--   SELECT seq, CASE k WHEN 0 THEN 'zero' WHEN 1 THEN 'one' ELSE 'many' END AS a,
--     CASE name WHEN 'elm' THEN 1 WHEN 'fir' THEN 2 END AS c FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, CASE k WHEN 0 THEN 'zero' WHEN 1 THEN 'one' ELSE 'many' END AS a,
  CASE name WHEN 'elm' THEN 1 WHEN 'fir' THEN 2 END AS c
FROM events;
