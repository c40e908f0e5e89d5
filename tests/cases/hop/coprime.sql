-- A slide of 700 ms and a size of 3.3 s.
-- duckdb:
--   SELECT window_start, window_start + INTERVAL 3300 MILLISECOND AS window_end, count(*) AS n
--   FROM (SELECT *, unnest(hops(ts, INTERVAL 700 MILLISECOND, INTERVAL 3300 MILLISECOND)) AS window_start FROM events)
--   GROUP BY ALL
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, window_end, COUNT(*) AS n
FROM TABLE(HOP(TABLE events, DESCRIPTOR(ts), INTERVAL '0.7' SECOND, INTERVAL '3.3' SECOND))
GROUP BY window_start, window_end;
