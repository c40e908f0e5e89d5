-- The short form, with distinct counts.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 5 MINUTE) AS window_start, window_end, count(DISTINCT k) AS d
--   FROM (SELECT *, unnest(steps(ts, INTERVAL 30 SECOND, INTERVAL 5 MINUTE)) AS window_end FROM events) GROUP BY ALL
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, window_end, COUNT(DISTINCT k) AS d
FROM CUMULATE(events, ts, INTERVAL '30' SECOND, INTERVAL '5' MINUTE)
GROUP BY window_start, window_end;
