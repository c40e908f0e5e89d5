-- A filter that row groups can be skipped by does not hold back the watermark.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 10 SECOND) AS w, count(*) AS n FROM events WHERE seq BETWEEN 1000 AND 1100 OR seq > 2900
--   GROUP BY 1
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start AS w, COUNT(*) AS n
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '10' SECOND))
WHERE seq BETWEEN 1000 AND 1100 OR seq > 2900 GROUP BY window_start, window_end;
