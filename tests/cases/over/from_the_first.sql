-- Without a frame: all rows of the key so far, peers included.
-- duckdb:
--   SELECT seq, count(*) OVER w AS n, sum(q) OVER w AS s, (avg(d9) OVER w)::DECIMAL(38, 6) AS a, min(name) OVER w AS lo, max(f64) OVER w AS hi,
--     count(DISTINCT b) OVER w AS d, sum(money) OVER w AS m, var_pop(q) OVER w AS v FROM events WINDOW w AS (PARTITION BY k ORDER BY ts)
-- tolerance: a=1e-6
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, COUNT(*) OVER w AS n, SUM(q) OVER w AS s, AVG(d9) OVER w AS a, MIN(name) OVER w AS lo, MAX(f64) OVER w AS hi,
  COUNT(DISTINCT b) OVER w AS d, SUM(money) OVER w AS m, VAR_POP(q) OVER w AS v
FROM events
WINDOW w AS (PARTITION BY k ORDER BY ts);
