-- A LIMIT over two branches of windows, of which one may be ahead.
-- duckdb:
--   SELECT * FROM (SELECT tumble(ts, INTERVAL 10 SECOND) AS window_start, 'ticks' AS which, count(*) AS n FROM ticks GROUP BY ALL
--     UNION ALL SELECT tumble(ts, INTERVAL 10 SECOND), 'events', count(*) FROM events GROUP BY ALL)
--   ORDER BY window_start, which, n LIMIT 30
-- ordered
CREATE TABLE ticks (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/ticks.parquet', 'history.path' = '${HISTORY}/ticks');
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT * FROM (
  SELECT window_start, 'ticks' AS which, COUNT(*) AS n FROM TUMBLE(ticks, ts, INTERVAL '10' SECOND)
  GROUP BY window_start, window_end
  UNION ALL
  SELECT window_start, 'events' AS which, COUNT(*) AS n FROM TUMBLE(events, ts, INTERVAL '10' SECOND)
  GROUP BY window_start, window_end)
ORDER BY window_start, which, n LIMIT 30;
