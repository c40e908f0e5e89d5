-- BOOL_AND and BOOL_OR skip NULLs.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 1 SECOND) AS window_start, BOOL_AND(b) AS a, BOOL_OR(b) AS o, BOOL_AND(k > 0) AS ka,
--     BOOL_OR(q > 15) AS qo
--   FROM events GROUP BY ALL
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, BOOL_AND(b) AS a, BOOL_OR(b) AS o, BOOL_AND(k > 0) AS ka, BOOL_OR(q > 15) AS qo
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '1' SECOND))
GROUP BY window_start, window_end;
