-- Sessions of one key, grouped by another: sessions that end together are one group.
-- duckdb:
--   WITH a AS (SELECT *, lag(ts) OVER (PARTITION BY k ORDER BY ts, pos) AS before FROM events_ooo),
--     b AS (SELECT *, count(*) FILTER (WHERE before IS NULL OR ts - before > INTERVAL 3 SECOND)
--       OVER (PARTITION BY k ORDER BY ts, pos) AS sid FROM a),
--     c AS (SELECT *, max(ts) OVER (PARTITION BY k, sid) + INTERVAL 3 SECOND AS window_end FROM b)
--   SELECT b AS flag, window_end, count(*) AS n, count(DISTINCT k) AS keys, sum(money) AS m FROM c GROUP BY ALL
CREATE TABLE events_ooo (WATERMARK FOR ts AS ts - INTERVAL '2' SECOND)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events_ooo.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT b AS flag, window_end, COUNT(*) AS n, COUNT(DISTINCT k) AS keys, SUM(money) AS m
FROM TABLE(SESSION(TABLE events_ooo PARTITION BY k, DESCRIPTOR(ts), INTERVAL '3' SECOND))
GROUP BY window_end, b;
