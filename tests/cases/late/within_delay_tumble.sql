-- Rows displaced by less than the watermark delay: the answer of the rows in order, nothing late.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 10 SECOND) AS window_start, k, count(*) AS n, sum(money) AS s FROM events GROUP BY ALL
-- late: SELECT 0
CREATE TABLE events_ooo (WATERMARK FOR ts AS ts - INTERVAL '2' SECOND)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events_ooo.parquet', 'history.path' = '${HISTORY}/events_ooo');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, k, COUNT(*) AS n, SUM(money) AS s
FROM TABLE(TUMBLE(TABLE events_ooo, DESCRIPTOR(ts), INTERVAL '10' SECOND))
GROUP BY window_start, window_end, k;
