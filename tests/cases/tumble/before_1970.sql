-- Times before 1970 fall into windows aligned to the epoch, in microseconds.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 7 SECOND) AS window_start, k, count(*) AS n, sum(v) AS s FROM old GROUP BY ALL
-- types: window_start=timestamp[us]
CREATE TABLE old (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/old.parquet', 'history.path' = '${HISTORY}/old');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, k, COUNT(*) AS n, SUM(v) AS s
FROM TABLE(TUMBLE(TABLE old, DESCRIPTOR(ts), INTERVAL '7' SECOND))
GROUP BY window_start, window_end, k;
