-- HOP with a key that is sometimes NULL.
-- duckdb:
--   SELECT k, window_start, window_start + INTERVAL 20 SECOND AS window_end, count(*) AS n, sum(money) AS s, max(i64) AS m
--   FROM (SELECT *, unnest(hops(ts, INTERVAL 5 SECOND, INTERVAL 20 SECOND)) AS window_start FROM events) GROUP BY ALL
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT k, window_start, window_end, COUNT(*) AS n, SUM(money) AS s, MAX(i64) AS m
FROM TABLE(HOP(TABLE events, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '20' SECOND))
GROUP BY k, window_start, window_end;
