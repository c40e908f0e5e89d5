-- A filter in a view below the window.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 10 SECOND) AS window_start, count(*) AS n FROM events WHERE name LIKE '%e%' GROUP BY ALL
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE VIEW some AS SELECT ts, name FROM events WHERE name LIKE '%e%';

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, COUNT(*) AS n
FROM TABLE(TUMBLE(TABLE some, DESCRIPTOR(ts), INTERVAL '10' SECOND))
GROUP BY window_start, window_end;
