-- NaN, infinities, subnormals and 1e308 in sums.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 2 SECOND) AS window_start, exact_sum(list(nasty)) AS s,
--     exact_sum(list(nasty) FILTER (WHERE isfinite(nasty))) AS f,
--     exact_sum(list(nasty) FILTER (WHERE abs(nasty) < 1e-200)) AS t
--   FROM events GROUP BY ALL
-- tolerance: s=1e-16 f=1e-16 t=1e-16
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, SUM(nasty) AS s, SUM(nasty) FILTER (WHERE nasty BETWEEN -1e308 AND 1e308) AS f,
  SUM(nasty) FILTER (WHERE ABS(nasty) < 1e-200) AS t
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '2' SECOND))
GROUP BY window_start, window_end;
