-- Windows over what OVER gives, which keeps the event time.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 5 SECOND) AS w, count(*) AS n, max(s) AS m FROM (SELECT ts, sum(q) OVER (PARTITION BY k ORDER BY ts
--     RANGE BETWEEN INTERVAL 10 SECOND PRECEDING AND CURRENT ROW) AS s FROM events) GROUP BY 1
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start AS w, COUNT(*) AS n, MAX(s) AS m
FROM TUMBLE((SELECT ts, SUM(q) OVER (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL '10' SECOND PRECEDING AND CURRENT ROW) AS s
  FROM events), ts, INTERVAL '5' SECOND)
GROUP BY window_start, window_end;
