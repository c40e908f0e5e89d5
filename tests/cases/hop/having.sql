-- HAVING on hops.
-- duckdb:
--   SELECT symbol, window_start, window_start + INTERVAL 30 SECOND AS window_end, count(*) AS n
--   FROM (SELECT *, unnest(hops(ts, INTERVAL 10 SECOND, INTERVAL 30 SECOND)) AS window_start FROM ticks) GROUP BY ALL
--   HAVING count(*) >= 80
CREATE TABLE ticks (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/ticks.parquet', 'history.path' = '${HISTORY}/ticks');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT symbol, window_start, window_end, COUNT(*) AS n
FROM TABLE(HOP(TABLE ticks, DESCRIPTOR(ts), INTERVAL '10' SECOND, INTERVAL '30' SECOND))
GROUP BY symbol, window_start, window_end HAVING COUNT(*) >= 80;
