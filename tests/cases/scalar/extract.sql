-- EXTRACT(… FROM …).
-- duckdb:
--   SELECT seq, year(ts_us) AS a, month(ts_us) AS b, day(ts_us) AS c, hour(ts_us) AS d, minute(ts_us) AS e,
--     quarter(day) AS f
--   FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, EXTRACT(YEAR FROM ts_us) AS a, EXTRACT(MONTH FROM ts_us) AS b, EXTRACT(DAY FROM ts_us) AS c,
  EXTRACT(HOUR FROM ts_us) AS d,
  EXTRACT(MINUTE FROM ts_us) AS e, EXTRACT(QUARTER FROM `day`) AS f
FROM events;
