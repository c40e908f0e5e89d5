-- A range that ends before the row, as for labels that are known late.
-- duckdb:
--   SELECT seq, count(*) OVER w AS n, sum(q) OVER w AS s, max(ts) OVER before AS last FROM events
--   WINDOW w AS (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL 20 SECOND PRECEDING AND INTERVAL 5 SECOND PRECEDING),
--     before AS (PARTITION BY k ORDER BY ts RANGE BETWEEN UNBOUNDED PRECEDING AND INTERVAL 1 SECOND PRECEDING)
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, COUNT(*) OVER w AS n, SUM(q) OVER w AS s, MAX(ts) OVER before AS last
FROM events
WINDOW w AS (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL '20' SECOND PRECEDING AND INTERVAL '5' SECOND PRECEDING),
  before AS (PARTITION BY k ORDER BY ts RANGE BETWEEN UNBOUNDED PRECEDING AND INTERVAL '1' SECOND PRECEDING);
