-- Rows between the windows are in none, and not late.
-- duckdb:
--   SELECT window_start, window_start + INTERVAL 3 SECOND AS window_end, count(*) AS n, min(seq) AS m
--   FROM (SELECT *, unnest(hops(ts, INTERVAL 10 SECOND, INTERVAL 3 SECOND)) AS window_start FROM events) GROUP BY ALL
-- late: SELECT 0
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, window_end, COUNT(*) AS n, MIN(seq) AS m
FROM TABLE(HOP(TABLE events, DESCRIPTOR(ts), INTERVAL '10' SECOND, INTERVAL '3' SECOND))
GROUP BY window_start, window_end;
