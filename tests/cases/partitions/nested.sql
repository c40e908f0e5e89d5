-- Windows over windows over three partitions.
-- duckdb:
--   SELECT w, max(n) AS n FROM (SELECT tumble(ts, INTERVAL 10 SECOND) AS w, name, count(*) AS n FROM parts GROUP BY ALL)
--   GROUP BY w
CREATE TABLE parts (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/parts', 'scan.partitions' = 'file',
  'history.path' = '${HISTORY}/parts');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start AS w, MAX(n) AS n FROM (
  SELECT window_start, window_end, name, COUNT(*) AS n
  FROM TABLE(TUMBLE(TABLE parts, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end, name
) GROUP BY window_start, window_end;
