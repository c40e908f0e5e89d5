-- Each row is judged by the watermark of its own partition.
-- duckdb:
--   WITH r AS (SELECT *, max(ts - INTERVAL 2 SECOND) OVER (PARTITION BY part
--   ORDER BY pos ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW) AS wm FROM late_parts)
--   SELECT tumble(ts, INTERVAL 10 SECOND) AS window_start, k, count(*) AS n, sum(q) AS s FROM r
--   WHERE tumble(ts, INTERVAL 10 SECOND) + INTERVAL 10 SECOND - INTERVAL 1 MILLISECOND > coalesce(wm, '-infinity')
--   GROUP BY ALL
-- late:
--   WITH r AS (SELECT *, max(ts - INTERVAL 2 SECOND) OVER (PARTITION BY part
--   ORDER BY pos ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW) AS wm FROM late_parts)
--   SELECT count(*) FROM r WHERE NOT tumble(ts,
--     INTERVAL 10 SECOND) + INTERVAL 10 SECOND - INTERVAL 1 MILLISECOND > coalesce(wm, '-infinity')
CREATE TABLE late_parts (WATERMARK FOR ts AS ts - INTERVAL '2' SECOND)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/late_parts', 'scan.partitions' = 'file',
  'history.path' = '${HISTORY}/late_parts');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, k, COUNT(*) AS n, SUM(q) AS s
FROM TABLE(TUMBLE(TABLE late_parts, DESCRIPTOR(ts), INTERVAL '10' SECOND))
GROUP BY window_start, window_end, k;
