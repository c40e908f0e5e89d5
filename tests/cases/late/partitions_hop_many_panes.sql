-- Rows of two partitions, late for some of thirty hops by their own partition's watermark.
-- duckdb:
--   WITH r AS (SELECT *, max(ts - INTERVAL 2 SECOND) OVER (PARTITION BY part
--   ORDER BY pos ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW) AS wm FROM late_parts),
--     h AS (SELECT *, unnest(hops(ts, INTERVAL 1 SECOND, INTERVAL 30 SECOND)) AS window_start FROM r)
--   SELECT window_start, k, max(name) AS ma, count(DISTINCT q) AS d, sum(money) AS s FROM h
--   WHERE window_start + INTERVAL 30 SECOND - INTERVAL 1 MILLISECOND > coalesce(wm, '-infinity') GROUP BY ALL
-- late:
--   WITH r AS (SELECT *, max(ts - INTERVAL 2 SECOND) OVER (PARTITION BY part
--   ORDER BY pos ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW) AS wm FROM late_parts),
--     h AS (SELECT *, unnest(hops(ts, INTERVAL 1 SECOND, INTERVAL 30 SECOND)) AS w FROM r)
--   SELECT count(DISTINCT (part, pos)) FROM h WHERE w + INTERVAL 30 SECOND - INTERVAL 1 MILLISECOND <= wm
CREATE TABLE late_parts (WATERMARK FOR ts AS ts - INTERVAL '2' SECOND)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/late_parts', 'scan.partitions' = 'file',
  'history.path' = '${HISTORY}/late_parts');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, k, MAX(name) AS ma, COUNT(DISTINCT q) AS d, SUM(money) AS s
FROM TABLE(HOP(TABLE late_parts, DESCRIPTOR(ts), INTERVAL '1' SECOND, INTERVAL '30' SECOND))
GROUP BY window_start, window_end, k;
