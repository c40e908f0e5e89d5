-- One session over all rows.
-- duckdb:
--   WITH a AS (SELECT *, lag(ts) OVER (ORDER BY ts, pos) AS before FROM events),
--     b AS (SELECT *, count(*) FILTER (WHERE before IS NULL OR ts - before > INTERVAL 1 SECOND)
--       OVER (ORDER BY ts, pos) AS sid FROM a)
--   SELECT min(ts) AS window_start, max(ts) + INTERVAL 1 SECOND AS window_end, count(*) AS n, max(money) AS m FROM b
--   GROUP BY sid
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, window_end, COUNT(*) AS n, MAX(money) AS m
FROM TABLE(SESSION(TABLE events, DESCRIPTOR(ts), INTERVAL '1' SECOND))
GROUP BY window_start, window_end;
