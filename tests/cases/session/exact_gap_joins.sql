-- A row exactly the gap after the last joins its session.
-- duckdb:
--   WITH a AS (SELECT *, lag(ts) OVER (PARTITION BY k ORDER BY ts, pos) AS before FROM events),
--     b AS (SELECT *, count(*) FILTER (WHERE before IS NULL OR ts - before > INTERVAL 598 MILLISECOND)
--       OVER (PARTITION BY k ORDER BY ts, pos) AS sid FROM a)
--   SELECT k, min(ts) AS window_start, max(ts) + INTERVAL 598 MILLISECOND AS window_end, count(*) AS n FROM b
--   GROUP BY k, sid
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT k, window_start, window_end, COUNT(*) AS n
FROM TABLE(SESSION(TABLE events PARTITION BY k, DESCRIPTOR(ts), INTERVAL '0.598' SECOND))
GROUP BY k, window_start, window_end;
