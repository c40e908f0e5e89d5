-- SUM of REAL and DOUBLE is DOUBLE.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 10 SECOND) AS window_start, sum(f32::DOUBLE) AS f32, SUM(f64) AS f64, SUM(money) AS money
--   FROM events GROUP BY ALL
-- types: f32=double
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, SUM(f32) AS f32, SUM(f64) AS f64, SUM(money) AS money
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '10' SECOND))
GROUP BY window_start, window_end;
