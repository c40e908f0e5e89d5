-- JSON fields that are not there are NULL.
-- duckdb: SELECT seq, ts, k, money, q, b, day, txt FROM simple WHERE seq < 800
CREATE TABLE sparse (
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
WITH ('connector' = 'filesystem', 'path' = '${DATA}/sparse.jsonl', 'history.path' = '${HISTORY}/sparse');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, ts, k, money, q, b, `day`, txt FROM sparse;
