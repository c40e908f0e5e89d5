-- Months are added by the clock of the zone; so does DATE_BIN cut by days, and TO_CHAR print.
-- duckdb:
--   WITH z AS (SELECT seq, ts_utc AT TIME ZONE 'UTC' AS u, (ts_utc AT TIME ZONE 'UTC') + INTERVAL '5 hours 30 minutes' AS c FROM events)
--   SELECT seq, c + INTERVAL 1 MONTH - INTERVAL '5 hours 30 minutes' AS later, c - INTERVAL 13 MONTH - INTERVAL '5 hours 30 minutes' AS before,
--     u + INTERVAL 36 HOUR AS hours, time_bucket(INTERVAL 1 DAY, c, TIMESTAMP '1970-01-01') - INTERVAL '5 hours 30 minutes' AS day,
--     time_bucket(INTERVAL 20 MINUTE, u, TIMESTAMP '1970-01-01') AS third, strftime(c, '%Y/%m/%d %H') AS text FROM z
SET 'pelton.time-zone' = 'Asia/Kolkata';
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, ts_utc + INTERVAL '1' MONTH AS later, ts_utc - INTERVAL '1-1' YEAR TO MONTH AS before,
  ts_utc + INTERVAL '36' HOUR AS hours, DATE_BIN(INTERVAL '1' DAY, ts_utc, TIMESTAMP '1970-01-01 00:00:00') AS day,
  DATE_BIN(INTERVAL '20' MINUTE, ts_utc) AS third, TO_CHAR(ts_utc, '%Y/%m/%d %H') AS text
FROM events;
