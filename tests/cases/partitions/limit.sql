-- LIMIT over three partitions takes the same rows however it runs.
-- duckdb: none (which rows is not promised, only that they are the same)
CREATE TABLE parts (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/parts', 'scan.partitions' = 'file',
  'history.path' = '${HISTORY}/parts');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, part FROM parts WHERE q > 0 LIMIT 50;
