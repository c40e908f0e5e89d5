-- Rows further apart than a window; and windows in which no key is twice.
-- duckdb:
--   SELECT window_start, window_start + INTERVAL 800 MILLISECOND AS window_end, min(name) AS mi, max(q) AS ma, count(DISTINCT k) AS d
--   FROM (SELECT *, unnest(hops(ts, INTERVAL 50 MILLISECOND, INTERVAL 800 MILLISECOND)) AS window_start FROM events WHERE seq % 3 = 0 OR q > 15)
--   GROUP BY ALL
-- duckdb keys:
--   SELECT window_start, seq, max(q) AS ma
--   FROM (SELECT *, unnest(hops(ts, INTERVAL 1 SECOND, INTERVAL 20 SECOND)) AS window_start FROM events) GROUP BY ALL
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, window_end, MIN(name) AS mi, MAX(q) AS ma, COUNT(DISTINCT k) AS d
FROM TABLE(HOP(TABLE events, DESCRIPTOR(ts), INTERVAL '0.05' SECOND, INTERVAL '0.8' SECOND))
WHERE MOD(seq, 3) = 0 OR q > 15
GROUP BY window_start, window_end;

CREATE TABLE keys WITH ('connector' = 'filesystem', 'path' = '${OUT}/keys.parquet') AS
SELECT window_start, seq, MAX(q) AS ma
FROM TABLE(HOP(TABLE events, DESCRIPTOR(ts), INTERVAL '1' SECOND, INTERVAL '20' SECOND))
GROUP BY window_start, window_end, seq;
