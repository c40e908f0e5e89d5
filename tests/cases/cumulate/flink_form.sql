-- CUMULATE: step, then size.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 1 MINUTE) AS window_start, window_end, count(*) AS n
--   FROM (SELECT *, unnest(steps(ts, INTERVAL 10 SECOND, INTERVAL 1 MINUTE)) AS window_end FROM events) GROUP BY ALL
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, window_end, COUNT(*) AS n
FROM TABLE(CUMULATE(TABLE events, DESCRIPTOR(ts), INTERVAL '10' SECOND, INTERVAL '1' MINUTE))
GROUP BY window_start, window_end;
