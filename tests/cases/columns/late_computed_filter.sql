-- A computed column in WHERE, GROUP BY and an aggregate.
-- duckdb: SELECT q % 4 AS m, count(*) AS n, sum(q % 4) AS s FROM events WHERE q % 4 >= 0 GROUP BY 1
CREATE TABLE events (
  seq BIGINT,
  ts TIMESTAMP(3),
  q INT,
  m AS MOD(q, 4),
  WATERMARK FOR ts AS ts
)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT m, COUNT(*) AS n, SUM(m) AS s FROM events WHERE m >= 0 GROUP BY m;
