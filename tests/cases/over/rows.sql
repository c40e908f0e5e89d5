-- Frames of rows: by time, then by place.
-- duckdb:
--   SELECT seq, count(*) OVER a AS n, sum(q) OVER a AS s, avg(money) OVER b AS m, min(f64) OVER b AS lo FROM events
--   WINDOW a AS (PARTITION BY k ORDER BY ts, pos ROWS BETWEEN 3 PRECEDING AND CURRENT ROW),
--     b AS (PARTITION BY name ORDER BY ts, pos ROWS BETWEEN 20 PRECEDING AND 2 PRECEDING)
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, COUNT(*) OVER a AS n, SUM(q) OVER a AS s, AVG(money) OVER b AS m, MIN(f64) OVER b AS lo
FROM events
WINDOW a AS (PARTITION BY k ORDER BY ts ROWS BETWEEN 3 PRECEDING AND CURRENT ROW),
  b AS (PARTITION BY name ORDER BY ts ROWS BETWEEN 20 PRECEDING AND 2 PRECEDING);
