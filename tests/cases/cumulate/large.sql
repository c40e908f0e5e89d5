-- 20,000 rows.
-- duckdb:
--   SELECT symbol, tumble(ts, INTERVAL 10 MINUTE) AS window_start, window_end, count(*) AS n, sum(qty) AS q,
--     avg(price) AS p
--   FROM (SELECT *, unnest(steps(ts, INTERVAL 1 MINUTE, INTERVAL 10 MINUTE)) AS window_end FROM ticks) GROUP BY ALL
CREATE TABLE ticks (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/ticks.parquet', 'history.path' = '${HISTORY}/ticks');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT symbol, window_start, window_end, COUNT(*) AS n, SUM(qty) AS q, AVG(price) AS p
FROM TABLE(CUMULATE(TABLE ticks, DESCRIPTOR(ts), INTERVAL '1' MINUTE, INTERVAL '10' MINUTE))
GROUP BY symbol, window_start, window_end;
