-- Times of day of any precision against literals, in a projection.
-- duckdb:
--   SELECT seq, tod_us < TIME '12:00:00' AS a, tod_ms >= TIME '12:00:00.5' AS c, tod_ms < tod_us AS d FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, tod_us < TIME '12:00:00' AS a, tod_ms >= TIME '12:00:00.5' AS c, tod_ms < tod_us AS d
FROM events;
