-- A WHERE above the window function: rows that do not pass hold sessions together, and are not counted.
-- duckdb:
--   WITH a AS (SELECT *, lag(ts) OVER (PARTITION BY symbol ORDER BY ts, pos) AS before FROM ticks),
--     b AS (SELECT *, count(*) FILTER (WHERE before IS NULL OR ts - before > INTERVAL 1 SECOND)
--       OVER (PARTITION BY symbol ORDER BY ts, pos) AS sid FROM a),
--     c AS (SELECT *, min(ts) OVER w AS window_start, max(ts) OVER w + INTERVAL 1 SECOND AS window_end
--       FROM b WINDOW w AS (PARTITION BY symbol, sid))
--   SELECT symbol AS name, window_start, window_end, count(*) AS n, max(price) AS top FROM c WHERE qty % 10 = 0 GROUP BY ALL
CREATE TABLE ticks (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/ticks.parquet', 'history.path' = '${HISTORY}/ticks');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT name, window_start, window_end, COUNT(*) AS n, MAX(price) AS top
FROM (SELECT symbol AS name, price, qty, window_start, window_end
  FROM TABLE(SESSION(TABLE ticks PARTITION BY symbol, DESCRIPTOR(ts), INTERVAL '1' SECOND)))
WHERE qty % 10 = 0
GROUP BY name, window_start, window_end;
