-- The event time computed from a number of milliseconds.
-- duckdb:
--   SELECT tumble(make_timestamp(1710028800000000 + seq * 250000), INTERVAL 10 SECOND) AS w, count(*) AS n FROM events
--   GROUP BY 1
CREATE TABLE events (
  seq BIGINT,
  k INT,
  t AS TO_TIMESTAMP_LTZ(1710028800000 + seq * 250, 3),
  WATERMARK FOR t AS t - INTERVAL '1' SECOND
)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start AS w, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(t), INTERVAL '10' SECOND))
GROUP BY window_start, window_end;
