-- Timestamps and dates plus and minus intervals.
-- duckdb:
--   SELECT seq, ts + INTERVAL 90 SECOND AS a, ts_us - INTERVAL 2 DAY AS b, ts + INTERVAL 1 MONTH AS c, day + 7 AS d,
--     ts + INTERVAL '26 hours 3 minutes' AS e
--   FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, ts + INTERVAL '90' SECOND AS a, ts_us - INTERVAL '2' DAY AS b, ts + INTERVAL '1' MONTH AS c,
  `day` + INTERVAL '7' DAY AS d,
  ts + INTERVAL '1 02:03' DAY TO MINUTE AS e
FROM events;
