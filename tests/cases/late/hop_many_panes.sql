-- Rows late for some of forty hops, with aggregates that can not be taken out again.
-- duckdb:
--   WITH r AS (SELECT *, max(ts - INTERVAL 2 SECOND)
--     OVER (ORDER BY pos ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW) AS wm FROM events_late),
--     h AS (SELECT *, unnest(hops(ts, INTERVAL 500 MILLISECOND, INTERVAL 20 SECOND)) AS window_start FROM r)
--   SELECT window_start, k, min(name) AS mi, max(money) AS ma, count(DISTINCT q) AS d, count(*) AS n FROM h
--   WHERE window_start + INTERVAL 20 SECOND - INTERVAL 1 MILLISECOND > coalesce(wm, '-infinity') GROUP BY ALL
-- late:
--   WITH r AS (SELECT *, max(ts - INTERVAL 2 SECOND)
--     OVER (ORDER BY pos ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW) AS wm FROM events_late),
--     h AS (SELECT *, unnest(hops(ts, INTERVAL 500 MILLISECOND, INTERVAL 20 SECOND)) AS w FROM r)
--   SELECT count(DISTINCT pos) FROM h WHERE w + INTERVAL 20 SECOND - INTERVAL 1 MILLISECOND <= wm
CREATE TABLE events_late (WATERMARK FOR ts AS ts - INTERVAL '2' SECOND)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events_late.parquet', 'history.path' = '${HISTORY}/events_late');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, k, MIN(name) AS mi, MAX(money) AS ma, COUNT(DISTINCT q) AS d, COUNT(*) AS n
FROM TABLE(HOP(TABLE events_late, DESCRIPTOR(ts), INTERVAL '0.5' SECOND, INTERVAL '20' SECOND))
GROUP BY window_start, window_end, k;
