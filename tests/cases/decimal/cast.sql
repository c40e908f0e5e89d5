-- Decimals to integers, doubles and other scales.
-- duckdb:
--   SELECT seq, trunc(d9)::INT AS a, d9::DECIMAL(12, 4) AS b, d18::DECIMAL(20, 0) AS c, k::DECIMAL(5, 1) AS d FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, CAST(d9 AS INT) AS a, CAST(d9 AS DECIMAL(12, 4)) AS b, CAST(d18 AS DECIMAL(20, 0)) AS c,
  CAST(k AS DECIMAL(5, 1)) AS d FROM events;
