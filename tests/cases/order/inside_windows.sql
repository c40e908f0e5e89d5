-- ORDER BY window first: rows of each closed window in order.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 10 SECOND) AS window_start, k, count(*) AS n FROM events WHERE k IS NOT NULL
--   GROUP BY ALL ORDER BY window_start, n DESC, k
-- ordered
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, k, COUNT(*) AS n
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '10' SECOND)) WHERE k IS NOT NULL
GROUP BY window_start, window_end, k ORDER BY window_start, n DESC, k;
