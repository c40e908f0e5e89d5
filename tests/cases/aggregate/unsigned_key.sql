-- An unsigned key.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 100 SECOND) AS window_start, u64 AS key, count(*) AS n, sum(q) AS s FROM events
--   GROUP BY ALL
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, u64 AS key, COUNT(*) AS n, SUM(q) AS s
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '100' SECOND))
GROUP BY window_start, window_end, u64;
