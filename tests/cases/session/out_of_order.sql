-- Displaced rows join and merge sessions; nothing is late within the watermark delay.
-- duckdb:
--   WITH a AS (SELECT *, lag(ts) OVER (PARTITION BY k ORDER BY ts, pos) AS before FROM events),
--     b AS (SELECT *, count(*) FILTER (WHERE before IS NULL OR ts - before > INTERVAL 1 SECOND)
--       OVER (PARTITION BY k ORDER BY ts, pos) AS sid FROM a)
--   SELECT k, min(ts) AS window_start, max(ts) + INTERVAL 1 SECOND AS window_end, count(*) AS n, sum(money) AS s FROM b
--   GROUP BY k, sid
-- late: SELECT 0
CREATE TABLE events_ooo (WATERMARK FOR ts AS ts - INTERVAL '2' SECOND)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events_ooo.parquet', 'history.path' = '${HISTORY}/events_ooo');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT k, window_start, window_end, COUNT(*) AS n, SUM(money) AS s
FROM TABLE(SESSION(TABLE events_ooo PARTITION BY k, DESCRIPTOR(ts), INTERVAL '1' SECOND))
GROUP BY k, window_start, window_end;
