-- Windows over gzipped CSV.
-- duckdb: SELECT tumble(ts, INTERVAL 30 SECOND) AS w, b, count(*) AS n, avg(money) AS s FROM simple GROUP BY ALL
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
SELECT window_start AS w, b, COUNT(*) AS n, AVG(money) AS s
FROM TABLE(TUMBLE(TABLE simple, DESCRIPTOR(ts), INTERVAL '30' SECOND))
GROUP BY window_start, window_end, b;
