-- COUNT(DISTINCT) of strings, decimals, dates, timestamps and doubles.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 20 SECOND) AS window_start, COUNT(DISTINCT name) AS n, COUNT(DISTINCT dict) AS c,
--     COUNT(DISTINCT d9) AS d, COUNT(DISTINCT ts) AS t, COUNT(DISTINCT nasty) AS x, COUNT(DISTINCT f64) AS f
--   FROM events GROUP BY ALL
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, COUNT(DISTINCT name) AS n, COUNT(DISTINCT dict) AS c, COUNT(DISTINCT d9) AS d,
  COUNT(DISTINCT ts) AS t, COUNT(DISTINCT nasty) AS x, COUNT(DISTINCT f64) AS f
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '20' SECOND))
GROUP BY window_start, window_end;
