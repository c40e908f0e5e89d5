-- Sessions counted per minute of their end.
-- duckdb:
--   WITH a AS (SELECT *, lag(ts) OVER (PARTITION BY k ORDER BY ts, pos) AS before FROM events),
--     b AS (SELECT *, count(*) FILTER (WHERE before IS NULL OR ts - before > INTERVAL 2 SECOND)
--       OVER (PARTITION BY k ORDER BY ts, pos) AS sid FROM a),
--     c AS (SELECT max(ts) + INTERVAL 2 SECOND - INTERVAL 1 MILLISECOND AS t, count(*) AS n FROM b GROUP BY k, sid)
--   SELECT tumble(t, INTERVAL 1 MINUTE) AS w, count(*) AS sessions, max(n) AS longest FROM c GROUP BY 1
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE VIEW sessions AS
SELECT k, window_time AS t, COUNT(*) AS n
FROM TABLE(SESSION(TABLE events PARTITION BY k, DESCRIPTOR(ts), INTERVAL '2' SECOND))
GROUP BY k, window_start, window_end, window_time;

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start AS w, COUNT(*) AS sessions, MAX(n) AS longest
FROM TABLE(TUMBLE(TABLE sessions, DESCRIPTOR(t), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end;
