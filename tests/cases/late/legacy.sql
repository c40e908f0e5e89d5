-- The same in the legacy form.
-- duckdb:
--   WITH r AS (SELECT *, max(ts - INTERVAL 2 SECOND)
--     OVER (ORDER BY pos ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW) AS wm FROM events_late)
--   SELECT tumble(ts, INTERVAL 10 SECOND) AS w, count(*) AS n FROM r
--   WHERE tumble(ts, INTERVAL 10 SECOND) + INTERVAL 10 SECOND - INTERVAL 1 MILLISECOND > coalesce(wm, '-infinity')
--   GROUP BY ALL
-- late:
--   WITH r AS (SELECT *, max(ts - INTERVAL 2 SECOND)
--     OVER (ORDER BY pos ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW) AS wm FROM events_late)
--   SELECT count(*) FROM r WHERE NOT tumble(ts,
--     INTERVAL 10 SECOND) + INTERVAL 10 SECOND - INTERVAL 1 MILLISECOND > coalesce(wm, '-infinity')
CREATE TABLE events_late (WATERMARK FOR ts AS ts - INTERVAL '2' SECOND)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events_late.parquet', 'history.path' = '${HISTORY}/events_late');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT TUMBLE_START(ts, INTERVAL '10' SECOND) AS w, COUNT(*) AS n FROM events_late
GROUP BY TUMBLE(ts, INTERVAL '10' SECOND);
