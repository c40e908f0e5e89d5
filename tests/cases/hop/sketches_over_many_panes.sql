-- Sketches of sixty panes a window, with maxima.
-- duckdb:
--   SELECT symbol, window_start, window_start + INTERVAL 5 MINUTE AS window_end, count(DISTINCT buyer) AS d,
--     quantile_disc(price, 0.5) AS p, max(price) AS m
--   FROM (SELECT *, unnest(hops(ts, INTERVAL 5 SECOND, INTERVAL 5 MINUTE)) AS window_start FROM ticks) GROUP BY ALL
-- tolerance: d=0.06 p=0.03
CREATE TABLE ticks (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/ticks.parquet', 'history.path' = '${HISTORY}/ticks');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT symbol, window_start, window_end, APPROX_DISTINCT(buyer) AS d, APPROX_PERCENTILE(price, 0.5) AS p, MAX(price) AS m
FROM TABLE(HOP(TABLE ticks, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '5' MINUTE))
GROUP BY symbol, window_start, window_end;
