-- Gzipped CSV.
-- duckdb: SELECT seq, ts, k, money, q, b, day, txt FROM simple
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
WITH ('connector' = 'filesystem', 'path' = '${DATA}/simple.csv.gz', 'history.path' = '${HISTORY}/simple');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, ts, k, money, q, b, `day`, txt FROM simple;
