-- Sessions over two partitions with late rows.
-- duckdb:
--   WITH r AS (SELECT *, max(ts - INTERVAL 2 SECOND) OVER (PARTITION BY part
--   ORDER BY pos ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW) AS wm FROM late_parts),
--     a AS (SELECT *, lag(ts) OVER (PARTITION BY k ORDER BY ts, part, pos) AS before FROM r WHERE wm IS NULL OR ts >= wm),
--     b AS (SELECT *, count(*) FILTER (WHERE before IS NULL OR ts - before > INTERVAL 2 SECOND)
--       OVER (PARTITION BY k ORDER BY ts, part, pos) AS sid FROM a)
--   SELECT k, min(ts) AS window_start, max(ts) + INTERVAL 2 SECOND AS window_end, count(*) AS n, sum(q) AS q FROM b
--   GROUP BY k, sid
-- late:
--   WITH r AS (SELECT *, max(ts - INTERVAL 2 SECOND) OVER (PARTITION BY part
--   ORDER BY pos ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW) AS wm FROM late_parts)
--   SELECT count(*) FROM r WHERE ts < wm
CREATE TABLE late_parts (WATERMARK FOR ts AS ts - INTERVAL '2' SECOND)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/late_parts', 'scan.partitions' = 'file',
  'history.path' = '${HISTORY}/late_parts');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT k, window_start, window_end, COUNT(*) AS n, SUM(q) AS q
FROM TABLE(SESSION(TABLE late_parts PARTITION BY k, DESCRIPTOR(ts), INTERVAL '2' SECOND))
GROUP BY k, window_start, window_end;
