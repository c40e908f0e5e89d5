-- Windows over three partitions that start and end at different times.
-- duckdb: SELECT tumble(ts, INTERVAL 10 SECOND) AS w, k, count(*) AS n, sum(money) AS s FROM parts GROUP BY ALL
-- late: SELECT 0
CREATE TABLE parts (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/parts', 'scan.partitions' = 'file',
  'history.path' = '${HISTORY}/parts');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start AS w, k, COUNT(*) AS n, SUM(money) AS s
FROM TABLE(TUMBLE(TABLE parts, DESCRIPTOR(ts), INTERVAL '10' SECOND))
GROUP BY window_start, window_end, k;
