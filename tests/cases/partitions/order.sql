-- ORDER BY over three partitions.
-- duckdb: SELECT seq FROM parts WHERE q > 15 ORDER BY ts, seq
-- ordered
CREATE TABLE parts (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/parts', 'scan.partitions' = 'file',
  'history.path' = '${HISTORY}/parts');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq FROM parts WHERE q > 15 ORDER BY ts, seq;
