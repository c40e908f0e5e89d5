-- Rows late for some of sixty steps: in the later ones, not in those before.
-- duckdb:
--   WITH r AS (SELECT *, max(ts - INTERVAL 2 SECOND)
--     OVER (ORDER BY pos ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW) AS wm FROM events_late),
--     c AS (SELECT *, unnest(steps(ts, INTERVAL 1 SECOND, INTERVAL 1 MINUTE)) AS window_end FROM r)
--   SELECT tumble(ts, INTERVAL 1 MINUTE) AS window_start, window_end, name, min(q) AS mi, max(seq) AS ma, count(DISTINCT k) AS d,
--     sum(money) AS s FROM c WHERE window_end - INTERVAL 1 MILLISECOND > coalesce(wm, '-infinity') GROUP BY ALL
-- late:
--   WITH r AS (SELECT *, max(ts - INTERVAL 2 SECOND)
--     OVER (ORDER BY pos ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW) AS wm FROM events_late),
--     h AS (SELECT *, unnest(steps(ts, INTERVAL 1 SECOND, INTERVAL 1 MINUTE)) AS e FROM r)
--   SELECT count(DISTINCT pos) FROM h WHERE e - INTERVAL 1 MILLISECOND <= wm
CREATE TABLE events_late (WATERMARK FOR ts AS ts - INTERVAL '2' SECOND)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events_late.parquet', 'history.path' = '${HISTORY}/events_late');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, window_end, name, MIN(q) AS mi, MAX(seq) AS ma, COUNT(DISTINCT k) AS d, SUM(money) AS s
FROM TABLE(CUMULATE(TABLE events_late, DESCRIPTOR(ts), INTERVAL '1' SECOND, INTERVAL '1' MINUTE))
GROUP BY window_start, window_end, name;
