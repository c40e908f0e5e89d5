-- The short form.
-- duckdb:
--   SELECT window_start, window_start + INTERVAL 1 MINUTE AS window_end, avg(f64) AS a
--   FROM (SELECT *, unnest(hops(ts, INTERVAL 15 SECOND, INTERVAL 1 MINUTE)) AS window_start FROM events) GROUP BY ALL
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, window_end, AVG(f64) AS a FROM HOP(events, ts, INTERVAL '15' SECOND, INTERVAL '1' MINUTE)
GROUP BY window_start, window_end;
