-- SIN, COS, TAN, ASIN, ACOS, ATAN, ATAN2, DEGREES, RADIANS, PI.
-- duckdb:
--   SELECT seq, SIN(f64) AS a, COS(f64) AS b, TAN(unit) AS c, ASIN(unit) AS d, ACOS(unit) AS e, ATAN(f64) AS f,
--     ATAN2(f64, unit) AS g,
--     DEGREES(unit) AS h, RADIANS(f64) AS i, PI() AS j
--   FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, SIN(f64) AS a, COS(f64) AS b, TAN(unit) AS c, ASIN(unit) AS d, ACOS(unit) AS e, ATAN(f64) AS f,
  ATAN2(f64, unit) AS g,
  DEGREES(unit) AS h, RADIANS(f64) AS i, PI() AS j
FROM events;
