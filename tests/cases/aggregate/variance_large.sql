-- Variances of 20,000 prices.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 120 SECOND) AS window_start, symbol, VAR_POP(price) AS a, VAR_SAMP(price) AS b,
--     STDDEV_POP(qty) AS c, STDDEV_SAMP(price) AS d
--   FROM ticks GROUP BY ALL
CREATE TABLE ticks (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/ticks.parquet', 'history.path' = '${HISTORY}/ticks');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, symbol, VAR_POP(price) AS a, VAR_SAMP(price) AS b, STDDEV_POP(qty) AS c, STDDEV_SAMP(price) AS d
FROM TABLE(TUMBLE(TABLE ticks, DESCRIPTOR(ts), INTERVAL '120' SECOND))
GROUP BY window_start, window_end, symbol;
