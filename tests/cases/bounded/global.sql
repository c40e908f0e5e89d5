-- Aggregates without a key: one row.
-- duckdb:
--   SELECT COUNT(*) AS n, SUM(q) AS s, AVG(f64) AS a, MIN(ts) AS lo, MAX(ts) AS hi, COUNT(DISTINCT name) AS d FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT COUNT(*) AS n, SUM(q) AS s, AVG(f64) AS a, MIN(ts) AS lo, MAX(ts) AS hi, COUNT(DISTINCT name) AS d FROM events;
