-- AVG of integers and doubles is DOUBLE and is not cut.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 5 SECOND) AS window_start, AVG(i8) AS i8, AVG(i16) AS i16, AVG(i32) AS i32,
--     AVG(i64) AS i64, AVG(k) AS k, AVG(q) AS q, AVG(u8) AS u8, AVG(u32) AS u32, AVG(f32) AS f32, AVG(f64) AS f64,
--     AVG(money) AS money
--   FROM events GROUP BY ALL
-- types: i8=double i64=double f32=double
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, AVG(i8) AS i8, AVG(i16) AS i16, AVG(i32) AS i32, AVG(i64) AS i64, AVG(k) AS k, AVG(q) AS q,
  AVG(u8) AS u8, AVG(u32) AS u32, AVG(f32) AS f32, AVG(f64) AS f64, AVG(money) AS money
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '5' SECOND))
GROUP BY window_start, window_end;
