-- JSON objects and arrays as ROW and ARRAY.
-- duckdb: SELECT seq, {'id': k, 'tags': [q, q + 1]} AS who FROM simple WHERE seq < 800
CREATE TABLE nested (
  seq BIGINT,
  ts TIMESTAMP(3),
  who ROW<id INT, tags ARRAY<INT>>,
  WATERMARK FOR ts AS ts
)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/nested.jsonl', 'history.path' = '${HISTORY}/nested');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, who FROM nested;
