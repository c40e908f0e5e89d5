-- Functions of TIMESTAMP_LTZ speak in 'pelton.time-zone'; a plain TIMESTAMP has none.
-- duckdb:
--   SELECT seq, strftime((ts_utc AT TIME ZONE 'UTC') + INTERVAL '5 hours 30 minutes', '%Y-%m-%d %H:%M') AS a,
--     strftime(ts_us, '%Y-%m-%d %H:%M') AS b,
--     hour((ts_utc AT TIME ZONE 'UTC') + INTERVAL '5 hours 30 minutes') AS h, hour(ts_us) AS p, ts_utc FROM events
SET 'pelton.time-zone' = 'Asia/Kolkata';
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, DATE_FORMAT(ts_utc, 'yyyy-MM-dd HH:mm') AS a, DATE_FORMAT(ts_us, 'yyyy-MM-dd HH:mm') AS b,
  HOUR(ts_utc) AS h, HOUR(ts_us) AS p, ts_utc
FROM events;
