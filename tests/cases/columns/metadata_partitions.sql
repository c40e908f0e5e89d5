-- Partition and offset where every file is a partition, in path order.
-- duckdb: SELECT seq, part AS p, pos AS o FROM parts
CREATE TABLE parts (
  seq BIGINT,
  ts TIMESTAMP(3),
  p INT METADATA FROM 'partition' VIRTUAL,
  o BIGINT METADATA FROM 'offset' VIRTUAL,
  WATERMARK FOR ts AS ts
)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/parts', 'scan.partitions' = 'file',
  'history.path' = '${HISTORY}/parts');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, p, o FROM parts;
