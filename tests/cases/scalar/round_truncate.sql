-- ROUND half away from zero, TRUNCATE towards zero.
-- duckdb:
--   SELECT seq, round(f64) AS a, round(f64, 2) AS b, trunc(f64) AS c, round(money, 1) AS d
--   FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, ROUND(f64) AS a, ROUND(f64, 2) AS b, TRUNCATE(f64) AS c, ROUND(money, 1) AS d
FROM events;
