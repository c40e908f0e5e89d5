-- MIN and MAX of integers of all widths.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 3 SECOND) AS window_start, MIN(i8) AS i8, MIN(i16) AS i16, MIN(i32) AS i32,
--     MIN(i64) AS i64, MIN(u8) AS u8, MIN(u16) AS u16, MIN(u32) AS u32, MIN(u64) AS u64, MAX(i8) AS xi8, MAX(i16) AS xi16,
--     MAX(i32) AS xi32, MAX(i64) AS xi64, MAX(u8) AS xu8, MAX(u16) AS xu16, MAX(u32) AS xu32, MAX(u64) AS xu64
--   FROM events GROUP BY ALL
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, MIN(i8) AS i8, MIN(i16) AS i16, MIN(i32) AS i32, MIN(i64) AS i64, MIN(u8) AS u8, MIN(u16) AS u16,
  MIN(u32) AS u32, MIN(u64) AS u64, MAX(i8) AS xi8, MAX(i16) AS xi16, MAX(i32) AS xi32, MAX(i64) AS xi64,
  MAX(u8) AS xu8, MAX(u16) AS xu16, MAX(u32) AS xu32, MAX(u64) AS xu64
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '3' SECOND))
GROUP BY window_start, window_end;
