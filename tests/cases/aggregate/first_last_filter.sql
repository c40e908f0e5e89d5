-- FIRST_VALUE and LAST_VALUE with FILTER.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 3 SECOND) AS window_start, arg_min(seq, seq) FILTER (WHERE q > 5) AS f,
--     arg_max(seq, seq) FILTER (WHERE q > 5) AS l
--   FROM events GROUP BY ALL
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, FIRST_VALUE(seq) FILTER (WHERE q > 5) AS f, LAST_VALUE(seq) FILTER (WHERE q > 5) AS l
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '3' SECOND))
GROUP BY window_start, window_end;
