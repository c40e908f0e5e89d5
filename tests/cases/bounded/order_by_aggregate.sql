-- ORDER BY an aggregate, LIMIT.
-- duckdb: SELECT name, SUM(money) AS s FROM events WHERE name IS NOT NULL GROUP BY name ORDER BY s DESC LIMIT 5
-- ordered
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT name, SUM(money) AS s FROM events WHERE name IS NOT NULL GROUP BY name ORDER BY s DESC LIMIT 5;
