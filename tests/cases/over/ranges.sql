-- Three ranges of one key share its rows; peers are in the frame.
-- duckdb:
--   SELECT seq, k, count(*) OVER a AS n1, sum(i32) OVER a AS s1, avg(i32) OVER b AS a2, sum(d9) OVER b AS d2, count(money) OVER c AS n3,
--     sum(money) OVER c AS s3, min(i64) OVER c AS m3 FROM events
--   WINDOW a AS (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL 1 SECOND PRECEDING AND CURRENT ROW),
--     b AS (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL 10 SECOND PRECEDING AND CURRENT ROW),
--     c AS (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL 2 MINUTE PRECEDING AND CURRENT ROW)
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, k, COUNT(*) OVER a AS n1, SUM(i32) OVER a AS s1, AVG(i32) OVER b AS a2, SUM(d9) OVER b AS d2, COUNT(money) OVER c AS n3,
  SUM(money) OVER c AS s3, MIN(i64) OVER c AS m3
FROM events
WINDOW a AS (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL '1' SECOND PRECEDING AND CURRENT ROW),
  b AS (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL '10' SECOND PRECEDING AND CURRENT ROW),
  c AS (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL '2' MINUTE PRECEDING AND CURRENT ROW);
