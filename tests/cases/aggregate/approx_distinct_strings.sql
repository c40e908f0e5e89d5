-- APPROX_DISTINCT of few values is nearly exact.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 300 SECOND) AS window_start, count(DISTINCT txt) AS d, count(DISTINCT name) AS e
--   FROM events GROUP BY ALL
-- tolerance: d=0.04 e=0.04
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, APPROX_DISTINCT(txt) AS d, APPROX_DISTINCT(name) AS e
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '300' SECOND))
GROUP BY window_start, window_end;
