-- Two of the files by a glob, a partition each.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 20 SECOND) AS w, count(*) AS n, max(seq) AS m FROM parts WHERE part > 0 GROUP BY 1
CREATE TABLE parts (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/parts/[bc].parquet', 'scan.partitions' = 'file',
  'history.path' = '${HISTORY}/parts');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start AS w, COUNT(*) AS n, MAX(seq) AS m
FROM TABLE(TUMBLE(TABLE parts, DESCRIPTOR(ts), INTERVAL '20' SECOND))
GROUP BY window_start, window_end;
