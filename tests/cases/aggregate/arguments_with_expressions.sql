-- Aggregates of expressions.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 15 SECOND) AS window_start, sum(q * q) AS a, max(length(txt)) AS b,
--     avg(CASE WHEN b THEN f64 ELSE 0 END) AS c, count(nullif(k, 0)) AS d, min(upper(name)) AS e
--   FROM events GROUP BY ALL
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, SUM(q * q) AS a, MAX(CHAR_LENGTH(txt)) AS b, AVG(CASE WHEN b THEN f64 ELSE 0 END) AS c,
  COUNT(NULLIF(k, 0)) AS d,
  MIN(UPPER(name)) AS e
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '15' SECOND))
GROUP BY window_start, window_end;
