-- A GROUP BY over no rows gives none.
-- duckdb: SELECT k, COUNT(*) AS n FROM events WHERE seq < 0 GROUP BY k
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT k, COUNT(*) AS n FROM events WHERE seq < 0 GROUP BY k;
