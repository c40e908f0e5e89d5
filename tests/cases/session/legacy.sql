-- SESSION as a GROUP BY function.
-- duckdb:
--   WITH a AS (SELECT *, lag(ts) OVER (PARTITION BY name ORDER BY ts, pos) AS before FROM events),
--     b AS (SELECT *, count(*) FILTER (WHERE before IS NULL OR ts - before > INTERVAL 5 SECOND)
--       OVER (PARTITION BY name ORDER BY ts, pos) AS sid FROM a)
--   SELECT name, min(ts) AS window_start, max(ts) + INTERVAL 5 SECOND AS window_end, count(*) AS n FROM b
--   GROUP BY name, sid
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT name, SESSION_START(ts, INTERVAL '5' SECOND) AS window_start,
  SESSION_END(ts, INTERVAL '5' SECOND) AS window_end,
  COUNT(*) AS n
FROM events GROUP BY name, SESSION(ts, INTERVAL '5' SECOND);
