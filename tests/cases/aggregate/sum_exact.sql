-- SUM of doubles is the correctly rounded exact sum, whatever cancels.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 5 SECOND) AS window_start, exact_sum(list(cancel)) AS c, exact_sum(list(f64 * 1e10)) AS d,
--     exact_sum(list(f32::DOUBLE)) AS e
--   FROM events GROUP BY ALL
-- tolerance: c=1e-16 d=1e-16 e=1e-16
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, SUM(cancel) AS c, SUM(f64 * 1e10) AS d, SUM(f32) AS e
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '5' SECOND))
GROUP BY window_start, window_end;
