-- Legacy windows with WHERE and HAVING.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 20 SECOND) AS s, name, sum(money) AS m FROM events WHERE b GROUP BY ALL
--   HAVING count(*) > 5 AND sum(money) > 100000
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT TUMBLE_START(ts, INTERVAL '20' SECOND) AS s, name, SUM(money) AS m
FROM events WHERE b GROUP BY name, TUMBLE(ts, INTERVAL '20' SECOND) HAVING COUNT(*) > 5 AND SUM(money) > 100000;
