-- An unwindowed GROUP BY comes out at the end of bounded input.
-- duckdb: SELECT k, name, COUNT(*) AS n, SUM(money) AS s FROM events GROUP BY k, name
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT k, name, COUNT(*) AS n, SUM(money) AS s FROM events GROUP BY k, name;
