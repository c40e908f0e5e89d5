-- Decimals of different scales compared.
-- duckdb: SELECT seq, d9 < d18 AS a, d9 = round(d9, 1) AS b, d9 > 17.5 AS c FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, d9 < d18 AS a, d9 = ROUND(d9, 1) AS b, d9 > 17.5 AS c FROM events;
