-- Sessions whose rows come from several partitions.
-- duckdb:
--   WITH a AS (SELECT *, lag(ts) OVER (PARTITION BY k ORDER BY ts, part, pos) AS before FROM parts),
--     b AS (SELECT *, count(*) FILTER (WHERE before IS NULL OR ts - before > INTERVAL 2 SECOND)
--       OVER (PARTITION BY k ORDER BY ts, part, pos) AS sid FROM a)
--   SELECT k, min(ts) AS window_start, max(ts) + INTERVAL 2 SECOND AS window_end, count(*) AS n, count(DISTINCT part) AS p
--   FROM b GROUP BY k, sid
CREATE TABLE parts (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/parts', 'scan.partitions' = 'file',
  'history.path' = '${HISTORY}/parts');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT k, window_start, window_end, COUNT(*) AS n, COUNT(DISTINCT part) AS p
FROM TABLE(SESSION(TABLE parts PARTITION BY k, DESCRIPTOR(ts), INTERVAL '2' SECOND))
GROUP BY k, window_start, window_end;
