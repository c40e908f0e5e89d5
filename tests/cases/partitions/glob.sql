-- A glob is one partition too.
-- duckdb: SELECT tumble(ts, INTERVAL 10 SECOND) AS w, count(*) AS n FROM events_days WHERE part < 2 GROUP BY 1
CREATE TABLE days (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events_days/2024-03-1[01].parquet',
  'history.path' = '${HISTORY}/days');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start AS w, COUNT(*) AS n
FROM TABLE(TUMBLE(TABLE days, DESCRIPTOR(ts), INTERVAL '10' SECOND))
GROUP BY window_start, window_end;
