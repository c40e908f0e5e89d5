-- A legacy hop over late rows, with a filter.
-- duckdb:
--   WITH r AS (SELECT *, max(ts - INTERVAL 2 SECOND)
--     OVER (ORDER BY pos ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW) AS wm FROM events_late),
--     h AS (SELECT *, unnest(hops(ts, INTERVAL 3 SECOND, INTERVAL 9 SECOND)) AS w FROM r WHERE q > 0)
--   SELECT w, count(DISTINCT k) AS d, max(money) AS m FROM h
--   WHERE w + INTERVAL 9 SECOND - INTERVAL 1 MILLISECOND > coalesce(wm, '-infinity') GROUP BY ALL
-- late:
--   WITH r AS (SELECT *, max(ts - INTERVAL 2 SECOND)
--     OVER (ORDER BY pos ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW) AS wm FROM events_late),
--     h AS (SELECT *, unnest(hops(ts, INTERVAL 3 SECOND, INTERVAL 9 SECOND)) AS w FROM r WHERE q > 0)
--   SELECT count(DISTINCT pos) FROM h WHERE w + INTERVAL 9 SECOND - INTERVAL 1 MILLISECOND <= wm
CREATE TABLE events_late (WATERMARK FOR ts AS ts - INTERVAL '2' SECOND)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events_late.parquet', 'history.path' = '${HISTORY}/events_late');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT HOP_START(ts, INTERVAL '3' SECOND, INTERVAL '9' SECOND) AS w, COUNT(DISTINCT k) AS d, MAX(money) AS m
FROM events_late WHERE q > 0 GROUP BY HOP(ts, INTERVAL '3' SECOND, INTERVAL '9' SECOND);
