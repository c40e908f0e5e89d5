-- Different values of sliding frames, of text, numbers and times.
-- duckdb:
--   SELECT seq, count(DISTINCT name) OVER w AS n, count(DISTINCT q) OVER w AS q, count(DISTINCT date_trunc('second', ts)) OVER w AS t,
--     count(DISTINCT f64) OVER r AS f FROM events
--   WINDOW w AS (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL 30 SECOND PRECEDING AND CURRENT ROW),
--     r AS (ORDER BY ts RANGE BETWEEN INTERVAL 4 SECOND PRECEDING AND INTERVAL 1 SECOND PRECEDING)
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, COUNT(DISTINCT name) OVER w AS n, COUNT(DISTINCT q) OVER w AS q, COUNT(DISTINCT FLOOR(ts TO SECOND)) OVER w AS t,
  COUNT(DISTINCT f64) OVER r AS f
FROM events
WINDOW w AS (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL '30' SECOND PRECEDING AND CURRENT ROW),
  r AS (ORDER BY ts RANGE BETWEEN INTERVAL '4' SECOND PRECEDING AND INTERVAL '1' SECOND PRECEDING);
