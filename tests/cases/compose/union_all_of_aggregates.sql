-- UNION ALL of two windowed aggregates.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 10 SECOND) AS w, 'k' AS what, k::VARCHAR AS key, count(*) AS n FROM events
--   GROUP BY ALL UNION ALL SELECT tumble(ts, INTERVAL 30 SECOND), 'name', name, count(*) FROM events GROUP BY ALL
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start AS w, 'k' AS what, CAST(k AS STRING) AS key, COUNT(*) AS n
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '10' SECOND))
GROUP BY window_start, window_end, k
UNION ALL
SELECT window_start, 'name', name, COUNT(*)
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '30' SECOND))
GROUP BY window_start, window_end, name;
