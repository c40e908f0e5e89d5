-- A row below the watermark before it is late, and counts for nobody.
-- duckdb:
--   WITH r AS (SELECT *, max(ts - INTERVAL 2 SECOND)
--     OVER (ORDER BY pos ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW) AS wm FROM events_late)
--   SELECT seq, count(*) OVER w AS n, sum(q) OVER w AS s FROM r WHERE ts >= coalesce(wm, '-infinity')
--   WINDOW w AS (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL 10 SECOND PRECEDING AND CURRENT ROW)
-- late:
--   WITH r AS (SELECT *, max(ts - INTERVAL 2 SECOND)
--     OVER (ORDER BY pos ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW) AS wm FROM events_late)
--   SELECT count(*) FROM r WHERE ts < wm
CREATE TABLE events_late (WATERMARK FOR ts AS ts - INTERVAL '2' SECOND)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events_late.parquet', 'history.path' = '${HISTORY}/events_late');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, COUNT(*) OVER w AS n, SUM(q) OVER w AS s
FROM events_late
WINDOW w AS (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL '10' SECOND PRECEDING AND CURRENT ROW);
