-- AVG, MIN and MAX of decimals in windows.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 2 MINUTE) AS window_start, avg(d9) AS a, min(d18) AS b, max(d38) AS c FROM events
--   GROUP BY 1
-- tolerance: a=1e-6
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, AVG(d9) AS a, MIN(d18) AS b, MAX(d38) AS c
FROM TUMBLE(events, ts, INTERVAL '2' MINUTE) GROUP BY window_start, window_end;
