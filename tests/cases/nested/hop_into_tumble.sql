-- Hops gathered by window_time into larger windows.
-- duckdb:
--   SELECT tumble(window_start + INTERVAL 9999 MILLISECOND, INTERVAL 30 SECOND) AS w, sum(n) AS n, count(*) AS c
--   FROM (SELECT window_start, count(*) AS n
--     FROM (SELECT unnest(hops(ts, INTERVAL 5 SECOND, INTERVAL 10 SECOND)) AS window_start FROM events) GROUP BY 1)
--     GROUP BY 1
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE VIEW hops AS
SELECT window_time AS t, COUNT(*) AS n
FROM TABLE(HOP(TABLE events, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '10' SECOND))
GROUP BY window_start, window_end, window_time;

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start AS w, SUM(n) AS n, COUNT(*) AS c
FROM TABLE(TUMBLE(TABLE hops, DESCRIPTOR(t), INTERVAL '30' SECOND)) GROUP BY window_start, window_end;
