-- 20,000 rows, ten windows a row.
-- duckdb:
--   SELECT symbol, window_start, window_start + INTERVAL 1 MINUTE AS window_end, count(*) AS n, sum(qty) AS q,
--     max(price) AS m
--   FROM (SELECT *, unnest(hops(ts, INTERVAL 6 SECOND, INTERVAL 1 MINUTE)) AS window_start FROM ticks) GROUP BY ALL
CREATE TABLE ticks (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/ticks.parquet', 'history.path' = '${HISTORY}/ticks');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT symbol, window_start, window_end, COUNT(*) AS n, SUM(qty) AS q, MAX(price) AS m
FROM TABLE(HOP(TABLE ticks, DESCRIPTOR(ts), INTERVAL '6' SECOND, INTERVAL '1' MINUTE))
GROUP BY symbol, window_start, window_end;
