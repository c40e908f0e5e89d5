-- HAVING over aggregates that are not in the output.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 10 SECOND) AS window_start, k FROM events GROUP BY ALL
--   HAVING count(*) >= 6 AND avg(f64) > 0
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, k
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '10' SECOND))
GROUP BY window_start, window_end, k HAVING COUNT(*) >= 6 AND AVG(f64) > 0;
