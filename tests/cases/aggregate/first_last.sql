-- FIRST_VALUE and LAST_VALUE by event time, ties by offset.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 10 SECOND) AS window_start, k, arg_min(seq, seq) AS f, arg_max(seq, seq) AS l,
--     arg_min(big, seq) AS fb, arg_max(unit, seq) AS lu
--   FROM events GROUP BY ALL
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, k, FIRST_VALUE(seq) AS f, LAST_VALUE(seq) AS l, FIRST_VALUE(big) AS fb, LAST_VALUE(unit) AS lu
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '10' SECOND))
GROUP BY window_start, window_end, k;
