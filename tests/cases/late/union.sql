-- Rows of two sources, each judged by the watermark of its own partition.
-- duckdb:
--   WITH u AS (SELECT 'e' AS src, 0 AS part, pos, ts FROM events_late UNION ALL SELECT 'p', part, pos, ts
--   FROM late_parts),
--     r AS (SELECT *, max(ts - INTERVAL 2 SECOND) OVER (PARTITION BY src, part
--     ORDER BY pos ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW) AS wm FROM u)
--   SELECT tumble(ts, INTERVAL 10 SECOND) AS w, src, count(*) AS n FROM r
--   WHERE tumble(ts, INTERVAL 10 SECOND) + INTERVAL 10 SECOND - INTERVAL 1 MILLISECOND > coalesce(wm, '-infinity')
--   GROUP BY ALL
-- late:
--   WITH u AS (SELECT 'e' AS src, 0 AS part, pos, ts FROM events_late UNION ALL SELECT 'p', part, pos, ts
--   FROM late_parts),
--     r AS (SELECT *, max(ts - INTERVAL 2 SECOND) OVER (PARTITION BY src, part
--     ORDER BY pos ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW) AS wm FROM u)
--   SELECT count(*) FROM r WHERE NOT tumble(ts,
--     INTERVAL 10 SECOND) + INTERVAL 10 SECOND - INTERVAL 1 MILLISECOND > coalesce(wm, '-infinity')
CREATE TABLE events_late (WATERMARK FOR ts AS ts - INTERVAL '2' SECOND)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events_late.parquet', 'history.path' = '${HISTORY}/events_late');
CREATE TABLE late_parts (WATERMARK FOR ts AS ts - INTERVAL '2' SECOND)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/late_parts', 'scan.partitions' = 'file',
  'history.path' = '${HISTORY}/late_parts');

CREATE VIEW u AS SELECT 'e' AS src, ts FROM events_late UNION ALL SELECT 'p' AS src, ts FROM late_parts;

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start AS w, src, COUNT(*) AS n
FROM TABLE(TUMBLE(TABLE u, DESCRIPTOR(ts), INTERVAL '10' SECOND))
GROUP BY window_start, window_end, src;
