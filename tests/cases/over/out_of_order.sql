-- Rows wait for the watermark, and come out in the order of time.
-- duckdb:
--   SELECT seq, count(*) OVER w AS n, sum(q) OVER w AS s FROM events
--   WINDOW w AS (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL 10 SECOND PRECEDING AND CURRENT ROW)
CREATE TABLE events_ooo (WATERMARK FOR ts AS ts - INTERVAL '2' SECOND)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events_ooo.parquet', 'history.path' = '${HISTORY}/events_ooo');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, COUNT(*) OVER w AS n, SUM(q) OVER w AS s
FROM events_ooo
WINDOW w AS (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL '10' SECOND PRECEDING AND CURRENT ROW);
