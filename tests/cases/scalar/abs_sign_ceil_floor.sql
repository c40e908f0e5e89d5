-- ABS, SIGN, CEIL, FLOOR of integers, doubles and decimals.
-- duckdb:
--   SELECT seq, abs(q) AS a, abs(f64) AS b, abs(d9) AS c, sign(f64) AS d, ceil(f64) AS e, floor(f64) AS f,
--     ceil(money) AS g
--   FROM events
-- tolerance: d=0.0001
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, ABS(q) AS a, ABS(f64) AS b, ABS(d9) AS c, SIGN(f64) AS d, CEIL(f64) AS e, FLOOR(f64) AS f,
  CEILING(money) AS g
FROM events;
