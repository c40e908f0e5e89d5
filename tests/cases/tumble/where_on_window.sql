-- A condition on the window itself.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 10 SECOND) AS ws, count(*) AS n FROM events GROUP BY 1
--   HAVING ws >= TIMESTAMP '2024-03-10 00:05:00'
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start AS ws, COUNT(*) AS n
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '10' SECOND))
WHERE window_start >= TIMESTAMP '2024-03-10 00:05:00' GROUP BY window_start, window_end;
