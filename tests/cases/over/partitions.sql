-- Rows of one time come by partition, then by offset.
-- duckdb:
--   SELECT seq, part, row_number() OVER w AS rn, lag(seq) OVER w AS before, sum(q) OVER r AS s FROM parts
--   WINDOW w AS (PARTITION BY k ORDER BY ts, part, pos), r AS (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL 5 SECOND PRECEDING AND CURRENT ROW)
CREATE TABLE parts (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/parts', 'scan.partitions' = 'file',
  'history.path' = '${HISTORY}/parts');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, part, ROW_NUMBER() OVER w AS rn, LAG(seq) OVER w AS before, SUM(q) OVER r AS s
FROM parts
WINDOW w AS (PARTITION BY k ORDER BY ts), r AS (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL '5' SECOND PRECEDING AND CURRENT ROW);
