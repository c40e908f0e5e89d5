-- COUNT of rows and of columns with NULLs.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 30 SECOND) AS window_start, COUNT(*) AS n, COUNT(k) AS k, COUNT(name) AS name,
--     COUNT(nasty) AS x, COUNT(b) AS b, COUNT(1) AS one
--   FROM events GROUP BY ALL
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, COUNT(*) AS n, COUNT(k) AS k, COUNT(name) AS name, COUNT(nasty) AS x, COUNT(b) AS b,
  COUNT(1) AS one
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '30' SECOND))
GROUP BY window_start, window_end;
