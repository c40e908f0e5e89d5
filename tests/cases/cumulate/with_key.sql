-- CUMULATE with a key and several aggregates.
-- duckdb:
--   SELECT name, tumble(ts, INTERVAL 2 MINUTE) AS window_start, window_end, count(*) AS n, sum(money) AS s, min(ts) AS f
--   FROM (SELECT *, unnest(steps(ts, INTERVAL 20 SECOND, INTERVAL 2 MINUTE)) AS window_end FROM events) GROUP BY ALL
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT name, window_start, window_end, COUNT(*) AS n, SUM(money) AS s, MIN(ts) AS f
FROM TABLE(CUMULATE(TABLE events, DESCRIPTOR(ts), INTERVAL '20' SECOND, INTERVAL '2' MINUTE))
GROUP BY name, window_start, window_end;
