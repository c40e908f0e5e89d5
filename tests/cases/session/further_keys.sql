-- Sessions of one key, grouped by further keys: the bounds are those of the whole session.
-- duckdb:
--   WITH a AS (SELECT *, lag(ts) OVER (PARTITION BY symbol ORDER BY ts, pos) AS before FROM ticks),
--     b AS (SELECT *, count(*) FILTER (WHERE before IS NULL OR ts - before > INTERVAL 1 SECOND)
--       OVER (PARTITION BY symbol ORDER BY ts, pos) AS sid FROM a),
--     c AS (SELECT *, min(ts) OVER w AS window_start, max(ts) OVER w + INTERVAL 1 SECOND AS window_end
--       FROM b WINDOW w AS (PARTITION BY symbol, sid))
--   SELECT symbol, window_start, window_end, qty % 3 AS class, count(*) AS n, sum(price) AS p FROM c GROUP BY ALL
CREATE TABLE ticks (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/ticks.parquet', 'history.path' = '${HISTORY}/ticks');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT symbol, window_start, window_end, qty % 3 AS class, COUNT(*) AS n, SUM(price) AS p
FROM TABLE(SESSION(TABLE ticks PARTITION BY symbol, DESCRIPTOR(ts), INTERVAL '1' SECOND))
GROUP BY symbol, window_start, window_end, qty % 3;
