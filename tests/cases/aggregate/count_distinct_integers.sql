-- COUNT(DISTINCT) of integers and booleans.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 20 SECOND) AS window_start, COUNT(DISTINCT k) AS k, COUNT(DISTINCT q) AS q,
--     COUNT(DISTINCT i64) AS i, COUNT(DISTINCT u8) AS u, COUNT(DISTINCT b) AS b
--   FROM events GROUP BY ALL
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, COUNT(DISTINCT k) AS k, COUNT(DISTINCT q) AS q, COUNT(DISTINCT i64) AS i,
  COUNT(DISTINCT u8) AS u, COUNT(DISTINCT b) AS b
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '20' SECOND))
GROUP BY window_start, window_end;
