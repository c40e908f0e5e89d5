-- Rows whose argument fails leave the window; the rest is counted.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 1 MINUTE) AS window_start, count(*) AS n, sum(trunc(100 / q)::INT) AS s FROM events
--   WHERE q <> 0 GROUP BY ALL
-- dead letters: SELECT count(*) FROM events WHERE q = 0
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, COUNT(*) AS n, SUM(100 / q) AS s
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '1' MINUTE))
GROUP BY window_start, window_end;
