-- -0.0 and 0.0 are equal wherever values are compared.
-- duckdb:
--   SELECT seq, nasty = 0 AS a, nasty < 0 AS c, nasty IN (0, 1) AS d,
--     CASE nasty WHEN 0 THEN 'zero' WHEN 1 THEN 'one' END AS e, nullif(nasty, 0) AS f, nasty IS DISTINCT
--   FROM 0 AS g, nasty BETWEEN 0 AND 1 AS h FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, nasty = 0 AS a, nasty < 0 AS c, nasty IN (0, 1) AS d,
  CASE nasty WHEN 0 THEN 'zero' WHEN 1 THEN 'one' END AS e,
  NULLIF(nasty, 0) AS f, nasty IS DISTINCT FROM 0 AS g, nasty BETWEEN 0 AND 1 AS h
FROM events;
