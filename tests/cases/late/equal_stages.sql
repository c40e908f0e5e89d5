-- One stage for two sinks, with the calls of both: a row is late for it once.
-- duckdb:
--   WITH r AS (SELECT *, max(ts - INTERVAL 2 SECOND)
--     OVER (ORDER BY pos ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW) AS wm FROM events_late),
--     h AS (SELECT *, unnest(hops(ts, INTERVAL 2 SECOND, INTERVAL 10 SECOND)) AS window_start FROM r)
--   SELECT window_start, k, count(*) AS n, sum(money) AS s FROM h
--   WHERE window_start + INTERVAL 10 SECOND - INTERVAL 1 MILLISECOND > coalesce(wm, '-infinity') GROUP BY ALL
-- duckdb more:
--   WITH r AS (SELECT *, max(ts - INTERVAL 2 SECOND)
--     OVER (ORDER BY pos ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW) AS wm FROM events_late),
--     h AS (SELECT *, unnest(hops(ts, INTERVAL 2 SECOND, INTERVAL 10 SECOND)) AS w FROM r)
--   SELECT k, w + INTERVAL 10 SECOND AS e, max(seq) AS ma, count(DISTINCT name) AS d FROM h
--   WHERE w + INTERVAL 10 SECOND - INTERVAL 1 MILLISECOND > coalesce(wm, '-infinity') GROUP BY ALL
-- late:
--   WITH r AS (SELECT *, max(ts - INTERVAL 2 SECOND)
--     OVER (ORDER BY pos ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW) AS wm FROM events_late),
--     h AS (SELECT *, unnest(hops(ts, INTERVAL 2 SECOND, INTERVAL 10 SECOND)) AS w FROM r)
--   SELECT count(DISTINCT pos) FROM h WHERE w + INTERVAL 10 SECOND - INTERVAL 1 MILLISECOND <= wm
CREATE TABLE events_late (WATERMARK FOR ts AS ts - INTERVAL '2' SECOND)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events_late.parquet', 'history.path' = '${HISTORY}/events_late');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, k, COUNT(*) AS n, SUM(money) AS s
FROM TABLE(HOP(TABLE events_late, DESCRIPTOR(ts), INTERVAL '2' SECOND, INTERVAL '10' SECOND))
GROUP BY window_start, window_end, k;

CREATE TABLE more WITH ('connector' = 'filesystem', 'path' = '${OUT}/more.parquet') AS
SELECT k, window_end AS e, MAX(seq) AS ma, COUNT(DISTINCT name) AS d
FROM TABLE(HOP(TABLE events_late, DESCRIPTOR(ts), INTERVAL '2' SECOND, INTERVAL '10' SECOND))
GROUP BY k, window_end;
