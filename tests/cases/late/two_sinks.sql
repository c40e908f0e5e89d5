-- One pass, two windows: a row may be late for one and in time for the other.
-- duckdb:
--   WITH r AS (SELECT *, max(ts - INTERVAL 2 SECOND)
--     OVER (ORDER BY pos ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW) AS wm FROM events_late)
--   SELECT tumble(ts, INTERVAL 10 SECOND) AS w, count(*) AS n FROM r
--   WHERE tumble(ts, INTERVAL 10 SECOND) + INTERVAL 10 SECOND - INTERVAL 1 MILLISECOND > coalesce(wm, '-infinity')
--   GROUP BY ALL
-- duckdb minutes:
--   WITH r AS (SELECT *, max(ts - INTERVAL 2 SECOND)
--     OVER (ORDER BY pos ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW) AS wm FROM events_late)
--   SELECT tumble(ts, INTERVAL 1 MINUTE) AS w, count(*) AS n FROM r
--   WHERE tumble(ts, INTERVAL 1 MINUTE) + INTERVAL 1 MINUTE - INTERVAL 1 MILLISECOND > coalesce(wm, '-infinity')
--   GROUP BY ALL
-- late:
--   WITH r AS (SELECT *, max(ts - INTERVAL 2 SECOND)
--     OVER (ORDER BY pos ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW) AS wm FROM events_late)
--   SELECT count(*) FILTER (WHERE NOT tumble(ts,
--     INTERVAL 10 SECOND) + INTERVAL 10 SECOND - INTERVAL 1 MILLISECOND > coalesce(wm, '-infinity'))
--     + count(*) FILTER (WHERE tumble(ts, INTERVAL 1 MINUTE) + INTERVAL 1 MINUTE - INTERVAL 1 MILLISECOND <= wm) FROM r
CREATE TABLE events_late (WATERMARK FOR ts AS ts - INTERVAL '2' SECOND)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events_late.parquet', 'history.path' = '${HISTORY}/events_late');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start AS w, COUNT(*) AS n
FROM TABLE(TUMBLE(TABLE events_late, DESCRIPTOR(ts), INTERVAL '10' SECOND))
GROUP BY window_start, window_end;

CREATE TABLE minutes WITH ('connector' = 'filesystem', 'path' = '${OUT}/minutes.parquet') AS
SELECT window_start AS w, COUNT(*) AS n
FROM TABLE(TUMBLE(TABLE events_late, DESCRIPTOR(ts), INTERVAL '1' MINUTE))
GROUP BY window_start, window_end;
