-- TIME columns against literals of another precision, and their parts.
-- duckdb:
--   SELECT seq, tod_us < TIME '12:00:00' AS a, tod_us BETWEEN TIME '06:00:00' AND TIME '18:00:00.5' AS b, hour(tod_us) AS h,
--     minute(tod_us) AS m, CASE WHEN tod_us >= TIME '20:00:00' THEN 'late' ELSE 'early' END AS c
--   FROM events WHERE tod_us <> TIME '01:02:03'
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, tod_us < TIME '12:00:00' AS a, tod_us BETWEEN TIME '06:00:00' AND TIME '18:00:00.5' AS b, HOUR(tod_us) AS h,
  EXTRACT(MINUTE FROM tod_us) AS m, CASE WHEN tod_us >= TIME '20:00:00' THEN 'late' ELSE 'early' END AS c
FROM events WHERE tod_us <> TIME '01:02:03';
