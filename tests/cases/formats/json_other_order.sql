-- JSON fields are found by name, and may be left out of the declaration.
-- duckdb: SELECT txt, q, seq FROM simple
CREATE TABLE simple (
  txt STRING,
  q INT,
  seq BIGINT,
  ts TIMESTAMP(3),
  WATERMARK FOR ts AS ts
)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/simple.jsonl', 'history.path' = '${HISTORY}/simple');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT txt, q, seq FROM simple;
