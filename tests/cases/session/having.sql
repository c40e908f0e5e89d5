-- Bursts: HAVING on sessions.
-- duckdb:
--   WITH a AS (SELECT *, lag(ts) OVER (PARTITION BY symbol ORDER BY ts, pos) AS before FROM ticks),
--     b AS (SELECT *, count(*) FILTER (WHERE before IS NULL OR ts - before > INTERVAL 1 SECOND)
--       OVER (PARTITION BY symbol ORDER BY ts, pos) AS sid FROM a)
--   SELECT symbol, min(ts) AS window_start, max(ts) + INTERVAL 1 SECOND AS window_end, count(*) AS n, sum(qty) AS q FROM b
--   GROUP BY symbol, sid HAVING count(*) >= 20
CREATE TABLE ticks (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/ticks.parquet', 'history.path' = '${HISTORY}/ticks');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT symbol, window_start, window_end, COUNT(*) AS n, SUM(qty) AS q
FROM TABLE(SESSION(TABLE ticks PARTITION BY symbol, DESCRIPTOR(ts), INTERVAL '1' SECOND))
GROUP BY symbol, window_start, window_end HAVING COUNT(*) >= 20;
