-- MIN and MAX of dates, times, timestamps and booleans.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 5 SECOND) AS window_start, MIN(day) AS a, MAX(day) AS b, MIN(tod_us) AS c,
--     MAX(tod_ms) AS d, MIN(ts_us) AS e, MAX(ts_s) AS f, MIN(ts_utc) AS g, MAX(ts) AS h, MIN(b) AS i, MAX(b) AS j
--   FROM events GROUP BY ALL
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, MIN(`day`) AS a, MAX(`day`) AS b, MIN(tod_us) AS c, MAX(tod_ms) AS d, MIN(ts_us) AS e,
  MAX(ts_s) AS f, MIN(ts_utc) AS g, MAX(ts) AS h, MIN(b) AS i, MAX(b) AS j
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '5' SECOND))
GROUP BY window_start, window_end;
