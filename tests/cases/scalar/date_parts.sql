-- YEAR, QUARTER, MONTH, WEEK, DAYOFMONTH, DAYOFYEAR, DAYOFWEEK (Sunday is 1).
-- duckdb:
--   SELECT seq, year(day) AS a, quarter(day) AS b, month(day) AS c, week(day) AS d, dayofmonth(day) AS e,
--     dayofyear(day) AS f, dayofweek(day) + 1 AS g
--   FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, YEAR(`day`) AS a, QUARTER(`day`) AS b, MONTH(`day`) AS c, WEEK(`day`) AS d, DAYOFMONTH(`day`) AS e,
  DAYOFYEAR(`day`) AS f, DAYOFWEEK(`day`) AS g
FROM events;
