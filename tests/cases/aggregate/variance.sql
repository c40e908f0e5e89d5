-- VAR_POP, VAR_SAMP, STDDEV_POP, STDDEV_SAMP; one row has no sample variance.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 1 SECOND) AS window_start, VAR_POP(f64) AS a, VAR_SAMP(f64) AS b, STDDEV_POP(money) AS c,
--     STDDEV_SAMP(money) AS d, VAR_SAMP(q) AS e, STDDEV_POP(k) AS f
--   FROM events GROUP BY ALL
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, VAR_POP(f64) AS a, VAR_SAMP(f64) AS b, STDDEV_POP(money) AS c, STDDEV_SAMP(money) AS d,
  VAR_SAMP(q) AS e, STDDEV_POP(k) AS f
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '1' SECOND))
GROUP BY window_start, window_end;
