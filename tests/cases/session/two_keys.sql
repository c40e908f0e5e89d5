-- A key of two columns.
-- duckdb:
--   WITH a AS (SELECT *, lag(ts) OVER (PARTITION BY k, b ORDER BY ts, pos) AS before FROM events),
--     b AS (SELECT *, count(*) FILTER (WHERE before IS NULL OR ts - before > INTERVAL 10 SECOND)
--       OVER (PARTITION BY k, b ORDER BY ts, pos) AS sid FROM a)
--   SELECT k, b, min(ts) AS window_start, max(ts) + INTERVAL 10 SECOND AS window_end, count(*) AS n, min(f64) AS lo FROM b
--   GROUP BY k, b, sid
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT k, b, window_start, window_end, COUNT(*) AS n, MIN(f64) AS lo
FROM TABLE(SESSION(TABLE events PARTITION BY (k, b), DESCRIPTOR(ts), INTERVAL '10' SECOND))
GROUP BY k, b, window_start, window_end;
