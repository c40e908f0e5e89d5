-- Timestamps to dates, times, other precisions and strings.
-- duckdb:
--   SELECT seq, ts_us::DATE AS a, ts_us::TIME AS c, date_trunc('second', ts_us)::TIME AS cs,
--     date_trunc('second', ts) AS d, strftime(ts, '%Y-%m-%d %H:%M:%S.%g') AS e, day::TIMESTAMP AS f,
--     strftime(ts, '%Y-%m-%d %H:%M:%S.%g')::TIMESTAMP AS g FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, CAST(ts_us AS DATE) AS a, CAST(ts_us AS TIME(6)) AS c, CAST(ts_us AS TIME) AS cs,
  CAST(ts AS TIMESTAMP(0)) AS d, CAST(ts AS STRING) AS e,
  CAST(`day` AS TIMESTAMP(3)) AS f, CAST(CAST(ts AS STRING) AS TIMESTAMP(3)) AS g
FROM events;
