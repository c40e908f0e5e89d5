-- Computed columns of arithmetic and functions.
-- duckdb: SELECT pos, price * qty AS total, upper(symbol) || '!' AS tag FROM ticks WHERE qty > 300
CREATE TABLE ticks (
  pos BIGINT,
  ts TIMESTAMP(3),
  symbol STRING,
  price DOUBLE,
  qty INT,
  total AS price * qty,
  tag AS UPPER(symbol) || '!',
  WATERMARK FOR ts AS ts
)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/ticks.parquet', 'history.path' = '${HISTORY}/ticks');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT pos, total, tag FROM ticks WHERE qty > 300;
