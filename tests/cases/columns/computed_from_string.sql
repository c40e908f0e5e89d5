-- The event time parsed from text.
-- duckdb: SELECT tumble(ts, INTERVAL 30 SECOND) AS w, sum(q) AS s FROM simple GROUP BY 1
CREATE TABLE simple (
  seq BIGINT,
  ts STRING,
  q INT,
  t AS TO_TIMESTAMP(ts),
  WATERMARK FOR t AS t
)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/simple.jsonl', 'format' = 'json',
  'history.path' = '${HISTORY}/simple');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start AS w, SUM(q) AS s FROM TABLE(TUMBLE(TABLE simple, DESCRIPTOR(t), INTERVAL '30' SECOND))
GROUP BY window_start, window_end;
