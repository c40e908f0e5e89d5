-- Late rows leave the lower windows; the upper ones see what is left.
-- duckdb:
--   WITH r AS (SELECT *, max(ts - INTERVAL 2 SECOND)
--     OVER (ORDER BY pos ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW) AS wm,
--       tumble(ts, INTERVAL 10 SECOND) AS w FROM events_late)
--   SELECT w, max(n) AS n FROM (SELECT w, k, count(*) AS n FROM r
--     WHERE wm IS NULL OR w + INTERVAL 10 SECOND - INTERVAL 1 MILLISECOND > wm GROUP BY ALL) GROUP BY w
-- late:
--   WITH r AS (SELECT *, max(ts - INTERVAL 2 SECOND)
--     OVER (ORDER BY pos ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW) AS wm FROM events_late)
--   SELECT count(*) FROM r WHERE tumble(ts, INTERVAL 10 SECOND) + INTERVAL 10 SECOND - INTERVAL 1 MILLISECOND <= wm
CREATE TABLE events_late (WATERMARK FOR ts AS ts - INTERVAL '2' SECOND)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events_late.parquet', 'history.path' = '${HISTORY}/events_late');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start AS w, MAX(n) AS n FROM (
  SELECT window_start, window_end, k, COUNT(*) AS n
  FROM TABLE(TUMBLE(TABLE events_late, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end, k
) GROUP BY window_start, window_end;
