-- HAVING without a window.
-- duckdb: SELECT big, COUNT(*) AS n FROM events GROUP BY big HAVING COUNT(*) > 200 AND MAX(q) = 19
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT big, COUNT(*) AS n FROM events GROUP BY big HAVING COUNT(*) > 200 AND MAX(q) = 19;
