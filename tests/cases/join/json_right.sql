-- The bounded table comes from JSON lines.
-- duckdb: SELECT pos, q, txt FROM payments p JOIN simple s ON p.pos = s.seq
CREATE TABLE payments (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/payments.parquet', 'history.path' = '${HISTORY}/payments');
CREATE TABLE simple (
  seq BIGINT,
  q INT,
  txt STRING
)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/simple.jsonl');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT pos, q, txt FROM payments AS p JOIN simple AS s ON p.pos = s.seq;
