-- SUM, AVG, MIN and COUNT of distinct values next to plain ones.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 20 SECOND) AS window_start, k, SUM(DISTINCT q) AS s, SUM(q) AS p, AVG(DISTINCT q) AS a,
--     MIN(DISTINCT q) AS m, COUNT(DISTINCT q) AS c, SUM(DISTINCT money) AS f
--   FROM events GROUP BY ALL
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, k, SUM(DISTINCT q) AS s, SUM(q) AS p, AVG(DISTINCT q) AS a, MIN(DISTINCT q) AS m,
  COUNT(DISTINCT q) AS c, SUM(DISTINCT money) AS f
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '20' SECOND))
GROUP BY window_start, window_end, k;
