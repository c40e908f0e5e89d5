-- SUM of any integer is BIGINT; a window with only NULLs sums to NULL.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 1 SECOND) AS window_start, SUM(i8) AS i8, SUM(i16) AS i16, SUM(i32) AS i32, SUM(k) AS k,
--     SUM(q) AS q, SUM(u8) AS u8, SUM(u16) AS u16, SUM(u32) AS u32
--   FROM events GROUP BY ALL
-- types: i8=int64 i16=int64 i32=int64 u8=int64 u32=int64
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, SUM(i8) AS i8, SUM(i16) AS i16, SUM(i32) AS i32, SUM(k) AS k, SUM(q) AS q, SUM(u8) AS u8,
  SUM(u16) AS u16, SUM(u32) AS u32
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '1' SECOND))
GROUP BY window_start, window_end;
