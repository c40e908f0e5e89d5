-- FLOOR and CEIL of a timestamp to a unit.
-- duckdb:
--   SELECT seq, date_trunc('hour', ts_us) AS a, date_trunc('day', ts_us)::TIMESTAMP AS b,
--     date_trunc('month', ts_us)::TIMESTAMP AS c, date_trunc('minute', ts + INTERVAL 59999 MILLISECOND) AS d
--   FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, FLOOR(ts_us TO HOUR) AS a, FLOOR(ts_us TO DAY) AS b, FLOOR(ts_us TO MONTH) AS c, CEIL(ts TO MINUTE) AS d
FROM events;
