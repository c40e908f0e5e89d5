-- FIRST_VALUE and LAST_VALUE skip NULLs, as in Flink.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 2 SECOND) AS window_start, arg_min(name, seq) AS f, arg_max(name, seq) AS l,
--     arg_min(d9, seq) AS fd, arg_max(ts_us, seq) AS lt, arg_max(b, seq) AS lb
--   FROM events GROUP BY ALL
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, FIRST_VALUE(name) AS f, LAST_VALUE(name) AS l, FIRST_VALUE(d9) AS fd, LAST_VALUE(ts_us) AS lt,
  LAST_VALUE(b) AS lb
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '2' SECOND))
GROUP BY window_start, window_end;
