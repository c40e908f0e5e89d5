-- OVER rows that windows give, ordered by window_time.
-- duckdb:
--   WITH w AS (SELECT tumble(ts, INTERVAL 5 SECOND) AS s, k, count(*) AS n FROM events GROUP BY ALL)
--   SELECT s + INTERVAL 5 SECOND AS e, k, n, sum(n) OVER (PARTITION BY k ORDER BY s RANGE BETWEEN INTERVAL 20 SECOND PRECEDING AND CURRENT ROW) AS m,
--     lag(n) OVER (PARTITION BY k ORDER BY s) AS before FROM w
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT e, k, n, SUM(n) OVER (PARTITION BY k ORDER BY t RANGE BETWEEN INTERVAL '20' SECOND PRECEDING AND CURRENT ROW) AS m,
  LAG(n) OVER (PARTITION BY k ORDER BY t) AS before
FROM (SELECT window_end AS e, window_time AS t, k, COUNT(*) AS n FROM TUMBLE(events, ts, INTERVAL '5' SECOND)
  GROUP BY window_start, window_end, window_time, k);
