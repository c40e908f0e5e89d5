-- Distinct counts, first and last values of sessions.
-- duckdb:
--   WITH a AS (SELECT *, lag(ts) OVER (PARTITION BY b ORDER BY ts, pos) AS before FROM events),
--     b AS (SELECT *, count(*) FILTER (WHERE before IS NULL OR ts - before > INTERVAL 2 SECOND)
--       OVER (PARTITION BY b ORDER BY ts, pos) AS sid FROM a)
--   SELECT b, min(ts) AS window_start, max(ts) + INTERVAL 2 SECOND AS window_end, count(DISTINCT name) AS d,
--     arg_min(seq, seq) AS f, arg_max(seq, seq) AS l, avg(f64) AS a FROM b GROUP BY b, sid
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT b, window_start, window_end, COUNT(DISTINCT name) AS d, FIRST_VALUE(seq) AS f, LAST_VALUE(seq) AS l,
  AVG(f64) AS a
FROM TABLE(SESSION(TABLE events PARTITION BY b, DESCRIPTOR(ts), INTERVAL '2' SECOND))
GROUP BY b, window_start, window_end;
