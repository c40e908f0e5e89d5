-- Windows come out by end, then start.
-- duckdb:
--   SELECT window_start FROM (SELECT unnest(hops(ts, INTERVAL 5 SECOND, INTERVAL 20 SECOND)) AS window_start FROM events)
--   GROUP BY 1 ORDER BY 1
-- ordered
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start FROM TABLE(HOP(TABLE events, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '20' SECOND))
GROUP BY window_start, window_end;
