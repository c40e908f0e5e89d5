-- Windows of several kinds from the same panes: each has the rows it would have alone, and late rows of its own.
-- duckdb:
--   WITH r AS (SELECT *, max(ts - INTERVAL 2 SECOND)
--     OVER (ORDER BY pos ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW) AS wm FROM events_late)
--   SELECT tumble(ts, INTERVAL 10 SECOND) AS w, k, count(*) AS n, sum(money) AS s FROM r
--   WHERE tumble(ts, INTERVAL 10 SECOND) + INTERVAL 10 SECOND - INTERVAL 1 MILLISECOND > coalesce(wm, '-infinity') GROUP BY ALL
-- duckdb minutes:
--   WITH r AS (SELECT *, max(ts - INTERVAL 2 SECOND)
--     OVER (ORDER BY pos ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW) AS wm FROM events_late)
--   SELECT k, avg(q) AS a, tumble(ts, INTERVAL 1 MINUTE) + INTERVAL 1 MINUTE AS e, max(seq) AS m FROM r
--   WHERE tumble(ts, INTERVAL 1 MINUTE) + INTERVAL 1 MINUTE - INTERVAL 1 MILLISECOND > coalesce(wm, '-infinity')
--   GROUP BY k, tumble(ts, INTERVAL 1 MINUTE)
-- duckdb hops:
--   WITH r AS (SELECT *, max(ts - INTERVAL 2 SECOND)
--     OVER (ORDER BY pos ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW) AS wm FROM events_late),
--     h AS (SELECT *, unnest(hops(ts, INTERVAL 5 SECOND, INTERVAL 20 SECOND)) AS w FROM r)
--   SELECT w, k, min(q) AS m, max(seq) AS l FROM h
--   WHERE w + INTERVAL 20 SECOND - INTERVAL 1 MILLISECOND > coalesce(wm, '-infinity') GROUP BY ALL
-- duckdb steps:
--   WITH r AS (SELECT *, max(ts - INTERVAL 2 SECOND)
--     OVER (ORDER BY pos ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW) AS wm FROM events_late),
--     c AS (SELECT *, unnest(steps(ts, INTERVAL 10 SECOND, INTERVAL 1 MINUTE)) AS window_end FROM r)
--   SELECT tumble(ts, INTERVAL 1 MINUTE) AS window_start, window_end, k, count(*) AS n FROM c
--   WHERE window_end - INTERVAL 1 MILLISECOND > coalesce(wm, '-infinity') GROUP BY ALL
-- late:
--   WITH r AS (SELECT *, max(ts - INTERVAL 2 SECOND)
--     OVER (ORDER BY pos ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW) AS wm FROM events_late)
--   SELECT count(*) FILTER (WHERE tumble(ts, INTERVAL 10 SECOND) + INTERVAL 10 SECOND - INTERVAL 1 MILLISECOND <= wm) * 2
--     + count(*) FILTER (WHERE tumble(ts, INTERVAL 1 MINUTE) + INTERVAL 1 MINUTE - INTERVAL 1 MILLISECOND <= wm)
--     + count(*) FILTER (WHERE tumble(ts, INTERVAL 5 SECOND) + INTERVAL 5 SECOND - INTERVAL 1 MILLISECOND <= wm) FROM r
CREATE TABLE events_late (WATERMARK FOR ts AS ts - INTERVAL '2' SECOND)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events_late.parquet', 'history.path' = '${HISTORY}/events_late');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start AS w, k, COUNT(*) AS n, SUM(money) AS s
FROM TABLE(TUMBLE(TABLE events_late, DESCRIPTOR(ts), INTERVAL '10' SECOND))
GROUP BY window_start, window_end, k;

CREATE TABLE minutes WITH ('connector' = 'filesystem', 'path' = '${OUT}/minutes.parquet') AS
SELECT k, AVG(q) AS a, window_end AS e, MAX(seq) AS m
FROM TABLE(TUMBLE(TABLE events_late, DESCRIPTOR(ts), INTERVAL '1' MINUTE))
GROUP BY k, window_end;

CREATE TABLE hops WITH ('connector' = 'filesystem', 'path' = '${OUT}/hops.parquet') AS
SELECT window_start AS w, k, MIN(q) AS m, MAX(seq) AS l
FROM TABLE(HOP(TABLE events_late, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '20' SECOND))
GROUP BY window_start, window_end, k;

CREATE TABLE steps WITH ('connector' = 'filesystem', 'path' = '${OUT}/steps.parquet') AS
SELECT window_start, window_end, k, COUNT(*) AS n
FROM TABLE(CUMULATE(TABLE events_late, DESCRIPTOR(ts), INTERVAL '10' SECOND, INTERVAL '1' MINUTE))
GROUP BY window_start, window_end, k;
