-- A row without event time is a dead letter and nothing else.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 10 SECOND) AS window_start, count(*) AS n FROM events_nullts WHERE ts IS NOT NULL
--   GROUP BY 1
-- late: SELECT 0
-- dead letters: SELECT count(*) FROM events_nullts WHERE ts IS NULL
CREATE TABLE events_nullts (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events_nullts.parquet',
  'history.path' = '${HISTORY}/events_nullts');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, COUNT(*) AS n
FROM TABLE(TUMBLE(TABLE events_nullts, DESCRIPTOR(ts), INTERVAL '10' SECOND))
GROUP BY window_start, window_end;
