-- HOUR, MINUTE, SECOND of timestamps, before 1970 too.
-- duckdb:
--   SELECT seq, hour(ts_us) AS a, minute(ts_us) AS b, second(ts_us) AS c, hour(ts_utc AT TIME ZONE 'UTC') AS d
--   FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, HOUR(ts_us) AS a, MINUTE(ts_us) AS b, SECOND(ts_us) AS c, HOUR(ts_utc) AS d
FROM events;
