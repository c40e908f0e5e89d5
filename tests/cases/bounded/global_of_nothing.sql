-- Aggregates without a key over no rows: one row, NULLs and zeros.
-- duckdb: SELECT COUNT(*) AS n, SUM(q) AS s, AVG(f64) AS a, MAX(name) AS m FROM events WHERE seq < 0
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT COUNT(*) AS n, SUM(q) AS s, AVG(f64) AS a, MAX(name) AS m FROM events WHERE seq < 0;
