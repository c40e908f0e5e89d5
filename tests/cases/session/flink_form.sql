-- SESSION with PARTITION BY; NULL is a key like any other.
-- duckdb:
--   WITH a AS (SELECT *, lag(ts) OVER (PARTITION BY k ORDER BY ts, pos) AS before FROM events),
--     b AS (SELECT *, count(*) FILTER (WHERE before IS NULL OR ts - before > INTERVAL 2 SECOND)
--       OVER (PARTITION BY k ORDER BY ts, pos) AS sid FROM a)
--   SELECT k, min(ts) AS window_start, max(ts) + INTERVAL 2 SECOND AS window_end, count(*) AS n, sum(q) AS s FROM b
--   GROUP BY k, sid
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT k, window_start, window_end, COUNT(*) AS n, SUM(q) AS s
FROM TABLE(SESSION(TABLE events PARTITION BY k, DESCRIPTOR(ts), INTERVAL '2' SECOND))
GROUP BY k, window_start, window_end;
