-- A CTE below a window.
-- duckdb:
--   WITH busy AS (SELECT ts, k, money * 2 AS m FROM events WHERE k <> 1) SELECT tumble(ts, INTERVAL 20 SECOND) AS w, k,
--     sum(m) AS s FROM busy GROUP BY ALL
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
WITH busy AS (SELECT ts, k, money * 2 AS m FROM events WHERE k <> 1)
SELECT window_start AS w, k, SUM(m) AS s
FROM TABLE(TUMBLE(TABLE busy, DESCRIPTOR(ts), INTERVAL '20' SECOND))
GROUP BY window_start, window_end, k;
