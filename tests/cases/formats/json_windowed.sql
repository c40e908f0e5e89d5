-- Windows over JSON lines.
-- duckdb: SELECT tumble(ts, INTERVAL 30 SECOND) AS w, k, count(*) AS n, sum(money) AS s FROM simple GROUP BY ALL
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
WITH ('connector' = 'filesystem', 'path' = '${DATA}/simple.jsonl', 'history.path' = '${HISTORY}/simple');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start AS w, k, COUNT(*) AS n, SUM(money) AS s
FROM TABLE(TUMBLE(TABLE simple, DESCRIPTOR(ts), INTERVAL '30' SECOND))
GROUP BY window_start, window_end, k;
