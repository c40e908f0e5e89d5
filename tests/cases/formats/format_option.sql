-- The format by its option, whatever the file is called.
-- duckdb: SELECT seq, money FROM simple WHERE b
CREATE TABLE simple (
  seq BIGINT,
  ts TIMESTAMP(3),
  k INT,
  money DOUBLE,
  q INT,
  b BOOLEAN,
  `day` DATE,
  txt STRING,
  WATERMARK FOR ts AS ts
)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/simple_json.txt', 'format' = 'json',
  'history.path' = '${HISTORY}/simple');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, money FROM simple WHERE b;
