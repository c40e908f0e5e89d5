-- APPROX_PERCENTILE is within one percent of the value.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 600 SECOND) AS window_start, symbol, quantile_disc(price, 0.5) AS p50,
--     quantile_disc(price, 0.95) AS p95, quantile_disc(qty, 0.25)::DOUBLE AS q25
--   FROM ticks GROUP BY ALL
-- tolerance: p50=0.02 p95=0.02 q25=0.04
CREATE TABLE ticks (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/ticks.parquet', 'history.path' = '${HISTORY}/ticks');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, symbol, APPROX_PERCENTILE(price, 0.5) AS p50, APPROX_PERCENTILE(price, 0.95) AS p95,
  APPROX_PERCENTILE(qty, 0.25) AS q25
FROM TABLE(TUMBLE(TABLE ticks, DESCRIPTOR(ts), INTERVAL '600' SECOND))
GROUP BY window_start, window_end, symbol;
