-- Keys of three types together.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 100 SECOND) AS window_start, k, name, b, count(*) AS n, sum(money) AS s FROM events
--   GROUP BY ALL
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, k, name, b, COUNT(*) AS n, SUM(money) AS s
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '100' SECOND))
GROUP BY window_start, window_end, k, name, b;
