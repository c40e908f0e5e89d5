-- Variance over all rows.
-- duckdb: SELECT b, VAR_SAMP(f64) AS v, STDDEV_POP(money) AS s, VAR_POP(q) AS p FROM events GROUP BY b
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT b, VAR_SAMP(f64) AS v, STDDEV_POP(money) AS s, VAR_POP(q) AS p FROM events GROUP BY b;
