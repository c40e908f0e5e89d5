-- A filter and a projection between two aggregates.
-- duckdb:
--   SELECT w, count(*) AS busy, sum(twice) AS t
--   FROM (SELECT tumble(ts, INTERVAL 10 SECOND) AS w, name, 2 * count(*) AS twice FROM events GROUP BY ALL)
--   WHERE twice > 6 GROUP BY w
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE VIEW counts AS
SELECT window_start, window_end, name, COUNT(*) AS n
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end, name;

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start AS w, COUNT(*) AS busy, SUM(n * 2) AS t FROM counts WHERE n * 2 > 6
GROUP BY window_start, window_end;
