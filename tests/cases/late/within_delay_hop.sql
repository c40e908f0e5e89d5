-- The same for hops.
-- duckdb:
--   SELECT window_start, window_start + INTERVAL 12 SECOND AS window_end, count(*) AS n, max(seq) AS m
--   FROM (SELECT *, unnest(hops(ts, INTERVAL 3 SECOND, INTERVAL 12 SECOND)) AS window_start FROM events) GROUP BY ALL
-- late: SELECT 0
CREATE TABLE events_ooo (WATERMARK FOR ts AS ts - INTERVAL '2' SECOND)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events_ooo.parquet', 'history.path' = '${HISTORY}/events_ooo');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, window_end, COUNT(*) AS n, MAX(seq) AS m
FROM TABLE(HOP(TABLE events_ooo, DESCRIPTOR(ts), INTERVAL '3' SECOND, INTERVAL '12' SECOND))
GROUP BY window_start, window_end;
