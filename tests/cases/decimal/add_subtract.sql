-- Decimals of different scales added and subtracted.
-- duckdb: SELECT seq, d9 + d18 AS a, d9 - d18 AS b, d9 + 1 AS c, d9 - 0.001 AS d FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, d9 + d18 AS a, d9 - d18 AS b, d9 + 1 AS c, d9 - 0.001 AS d FROM events;
