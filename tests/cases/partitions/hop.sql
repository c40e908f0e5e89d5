-- Hops over three partitions.
-- duckdb:
--   SELECT window_start, window_start + INTERVAL 15 SECOND AS window_end, count(*) AS n, count(DISTINCT part) AS p
--   FROM (SELECT *, unnest(hops(ts, INTERVAL 5 SECOND, INTERVAL 15 SECOND)) AS window_start FROM parts) GROUP BY ALL
-- late: SELECT 0
CREATE TABLE parts (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/parts', 'scan.partitions' = 'file',
  'history.path' = '${HISTORY}/parts');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, window_end, COUNT(*) AS n, COUNT(DISTINCT part) AS p
FROM TABLE(HOP(TABLE parts, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '15' SECOND))
GROUP BY window_start, window_end;
