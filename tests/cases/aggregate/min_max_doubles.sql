-- MIN and MAX of doubles: NaN is the largest.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 2 SECOND) AS window_start, MIN(f32) AS a, MAX(f32) AS b, MIN(f64) AS c, MAX(f64) AS d,
--     MIN(nasty) AS e, MAX(nasty) AS f
--   FROM events GROUP BY ALL
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, MIN(f32) AS a, MAX(f32) AS b, MIN(f64) AS c, MAX(f64) AS d, MIN(nasty) AS e, MAX(nasty) AS f
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '2' SECOND))
GROUP BY window_start, window_end;
