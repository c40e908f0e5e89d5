-- Sketches in sessions.
-- duckdb:
--   WITH a AS (SELECT *, lag(ts) OVER (PARTITION BY symbol ORDER BY ts, pos) AS before FROM ticks),
--     b AS (SELECT *, count(*) FILTER (WHERE before IS NULL OR ts - before > INTERVAL 2 SECOND)
--       OVER (PARTITION BY symbol ORDER BY ts, pos) AS sid FROM a)
--   SELECT symbol, min(ts) AS window_start, max(ts) + INTERVAL 2 SECOND AS window_end, count(DISTINCT buyer) AS d,
--     quantile_disc(price, 0.5) AS p FROM b GROUP BY symbol, sid HAVING count(*) > 40
-- tolerance: d=0.06 p=0.03
CREATE TABLE ticks (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/ticks.parquet', 'history.path' = '${HISTORY}/ticks');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT symbol, window_start, window_end, APPROX_DISTINCT(buyer) AS d, APPROX_PERCENTILE(price, 0.5) AS p
FROM TABLE(SESSION(TABLE ticks PARTITION BY symbol, DESCRIPTOR(ts), INTERVAL '2' SECOND))
GROUP BY symbol, window_start, window_end HAVING COUNT(*) > 40;
