-- Extremes and values before, of every type.
-- duckdb:
--   SELECT seq, min(i8) OVER w AS i8, max(u64) OVER w AS u64, min(u8) OVER w AS u8, max(i16) OVER w AS i16, min(d38) OVER w AS d38,
--     max(name) OVER w AS name, min(b) OVER w AS b, min(ts) OVER w AS ts, lag(d18) OVER r AS d18, lag(u32) OVER r AS u32, lag(b) OVER r AS b2
--   FROM events WINDOW w AS (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL 7 SECOND PRECEDING AND CURRENT ROW),
--     r AS (PARTITION BY k ORDER BY ts, pos)
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, MIN(i8) OVER w AS i8, MAX(u64) OVER w AS u64, MIN(u8) OVER w AS u8, MAX(i16) OVER w AS i16, MIN(d38) OVER w AS d38,
  MAX(name) OVER w AS name, MIN(b) OVER w AS b, MIN(ts) OVER w AS ts, LAG(d18) OVER r AS d18, LAG(u32) OVER r AS u32, LAG(b) OVER r AS b2
FROM events
WINDOW w AS (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL '7' SECOND PRECEDING AND CURRENT ROW),
  r AS (PARTITION BY k ORDER BY ts);
