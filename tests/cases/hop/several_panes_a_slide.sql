-- Seven panes from start to start, sixty a window; rows out of order.
-- duckdb:
--   SELECT window_start, window_start + INTERVAL 60 SECOND AS window_end, k, min(f64) AS mi, max(name) AS ma, count(DISTINCT q) AS d
--   FROM (SELECT *, unnest(hops(ts, INTERVAL 7 SECOND, INTERVAL 60 SECOND)) AS window_start FROM events_ooo) GROUP BY ALL
CREATE TABLE events_ooo (WATERMARK FOR ts AS ts - INTERVAL '2' SECOND)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events_ooo.parquet', 'history.path' = '${HISTORY}/events_ooo');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, window_end, k, MIN(f64) AS mi, MAX(name) AS ma, COUNT(DISTINCT q) AS d
FROM TABLE(HOP(TABLE events_ooo, DESCRIPTOR(ts), INTERVAL '7' SECOND, INTERVAL '60' SECOND))
GROUP BY window_start, window_end, k;
