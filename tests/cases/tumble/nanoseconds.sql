-- An event time in nanoseconds is cut to microseconds.
-- duckdb: SELECT tumble(ts::TIMESTAMP, INTERVAL 10 SECOND) AS w, count(*) AS n FROM events GROUP BY ALL
CREATE TABLE events (
  k INT,
  ts TIMESTAMP(3),
  t AS CAST(ts AS TIMESTAMP(9)),
  WATERMARK FOR t AS t
)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT CAST(window_start AS TIMESTAMP(6)) AS w, COUNT(*) AS n
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(t), INTERVAL '10' SECOND))
GROUP BY window_start, window_end;
