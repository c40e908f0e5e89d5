-- Windows of 250 ms.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 250 MILLISECOND) AS window_start, window_start + INTERVAL 250 MILLISECOND AS window_end,
--     count(*) AS n, max(seq) AS m FROM events GROUP BY ALL
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, window_end, COUNT(*) AS n, MAX(seq) AS m
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '0.250' SECOND))
GROUP BY window_start, window_end;
