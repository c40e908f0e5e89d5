-- In the order of arrival a row is answered from those that have come before it; rows below the watermark are late here, too.
-- duckdb:
--   WITH r AS (SELECT *, max(ts - INTERVAL 2 SECOND)
--     OVER (ORDER BY pos ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW) AS wm FROM events_late),
--   o AS (SELECT * FROM r WHERE ts >= coalesce(wm, '-infinity'))
--   SELECT a.seq, count(*) AS n, sum(b.q) AS s, min(b.q) AS low, max(b.q) AS high, count(DISTINCT b.q) AS d,
--     count(*) FILTER (WHERE b.ts <= a.ts - INTERVAL 3 SECOND) AS before
--   FROM o a JOIN o b ON a.k IS NOT DISTINCT FROM b.k AND b.pos <= a.pos AND b.ts BETWEEN a.ts - INTERVAL 10 SECOND AND a.ts
--   GROUP BY a.seq
-- late:
--   WITH r AS (SELECT *, max(ts - INTERVAL 2 SECOND)
--     OVER (ORDER BY pos ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW) AS wm FROM events_late)
--   SELECT count(*) FROM r WHERE ts < wm
SET 'pelton.over.mode' = 'arrival';

CREATE TABLE events_late (WATERMARK FOR ts AS ts - INTERVAL '2' SECOND)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events_late.parquet', 'history.path' = '${HISTORY}/events_late');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, COUNT(*) OVER w AS n, SUM(q) OVER w AS s, MIN(q) OVER w AS low, MAX(q) OVER w AS high, COUNT(DISTINCT q) OVER w AS d,
    COUNT(*) OVER early AS before
FROM events_late
WINDOW w AS (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL '10' SECOND PRECEDING AND CURRENT ROW),
  early AS (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL '10' SECOND PRECEDING AND INTERVAL '3' SECOND PRECEDING);
