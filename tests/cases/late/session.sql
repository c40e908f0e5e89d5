-- For sessions a row is late when its time is below the watermark before it.
-- duckdb:
--   WITH r AS (SELECT *, max(ts - INTERVAL 2 SECOND)
--     OVER (ORDER BY pos ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW) AS wm FROM events_late),
--     a AS (SELECT *, lag(ts) OVER (PARTITION BY k ORDER BY ts, pos) AS before FROM r WHERE wm IS NULL OR ts >= wm),
--     b AS (SELECT *, count(*) FILTER (WHERE before IS NULL OR ts - before > INTERVAL 3 SECOND)
--       OVER (PARTITION BY k ORDER BY ts, pos) AS sid FROM a)
--   SELECT k, min(ts) AS window_start, max(ts) + INTERVAL 3 SECOND AS window_end, count(*) AS n FROM b GROUP BY k, sid
-- late:
--   WITH r AS (SELECT *, max(ts - INTERVAL 2 SECOND)
--     OVER (ORDER BY pos ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW) AS wm FROM events_late)
--   SELECT count(*) FROM r WHERE ts < wm
-- dead letters:
--   WITH r AS (SELECT *, max(ts - INTERVAL 2 SECOND)
--     OVER (ORDER BY pos ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW) AS wm FROM events_late)
--   SELECT count(*) FROM r WHERE ts < wm
CREATE TABLE events_late (WATERMARK FOR ts AS ts - INTERVAL '2' SECOND)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events_late.parquet', 'history.path' = '${HISTORY}/events_late');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT k, window_start, window_end, COUNT(*) AS n
FROM TABLE(SESSION(TABLE events_late PARTITION BY k, DESCRIPTOR(ts), INTERVAL '3' SECOND))
GROUP BY k, window_start, window_end;
