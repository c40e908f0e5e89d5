-- Late rows are in neither FIRST_VALUE nor LAST_VALUE.
-- duckdb:
--   WITH r AS (SELECT *, max(ts - INTERVAL 2 SECOND)
--     OVER (ORDER BY pos ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW) AS wm FROM events_late)
--   SELECT tumble(ts, INTERVAL 10 SECOND) AS w, first(seq ORDER BY ts, pos) AS f, last(seq ORDER BY ts, pos) AS l FROM r
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
SELECT window_start AS w, FIRST_VALUE(seq) AS f, LAST_VALUE(seq) AS l
FROM TABLE(TUMBLE(TABLE events_late, DESCRIPTOR(ts), INTERVAL '10' SECOND))
GROUP BY window_start, window_end;
