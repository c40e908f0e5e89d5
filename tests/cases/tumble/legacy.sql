-- TUMBLE as a GROUP BY function, with its start, end and rowtime.
-- duckdb:
--   SELECT k, tumble(ts, INTERVAL 10 SECOND) AS w_start, w_start + INTERVAL 10 SECOND AS w_end,
--     w_end - INTERVAL 1 MILLISECOND AS w_time, count(*) AS n FROM events GROUP BY ALL
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT k, TUMBLE_START(ts, INTERVAL '10' SECOND) AS w_start, TUMBLE_END(ts, INTERVAL '10' SECOND) AS w_end,
  TUMBLE_ROWTIME(ts, INTERVAL '10' SECOND) AS w_time, COUNT(*) AS n
FROM events GROUP BY k, TUMBLE(ts, INTERVAL '10' SECOND);
