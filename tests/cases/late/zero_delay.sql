-- A watermark without delay: rows of the same time are in time until their window ends.
-- duckdb:
--   WITH r AS (SELECT *, max(ts) OVER (ORDER BY pos ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW) AS wm FROM events_ooo)
--   SELECT tumble(ts, INTERVAL 1 SECOND) AS window_start, count(*) AS n FROM r
--   WHERE tumble(ts, INTERVAL 1 SECOND) + INTERVAL 1 SECOND - INTERVAL 1 MILLISECOND > coalesce(wm, '-infinity')
--   GROUP BY ALL
-- late:
--   WITH r AS (SELECT *, max(ts) OVER (ORDER BY pos ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW) AS wm FROM events_ooo)
--   SELECT count(*) FROM r WHERE tumble(ts, INTERVAL 1 SECOND) + INTERVAL 1 SECOND - INTERVAL 1 MILLISECOND <= wm
CREATE TABLE events_ooo (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events_ooo.parquet', 'history.path' = '${HISTORY}/events_ooo');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, COUNT(*) AS n
FROM TABLE(TUMBLE(TABLE events_ooo, DESCRIPTOR(ts), INTERVAL '1' SECOND))
GROUP BY window_start, window_end;
