-- Variance of decimals is DOUBLE.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 20 SECOND) AS window_start, var_samp(d9::DOUBLE) AS a, stddev_pop(d18::DOUBLE) AS b
--   FROM events GROUP BY ALL
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, VAR_SAMP(d9) AS a, STDDEV_POP(d18) AS b
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '20' SECOND))
GROUP BY window_start, window_end;
