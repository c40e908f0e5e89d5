-- MIN and MAX of strings and dictionaries, by bytes.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 5 SECOND) AS window_start, MIN(s) AS a, MAX(s) AS b, MIN(dict) AS c, MAX(dict) AS d,
--     MIN(txt) AS e, MAX(ls) AS f
--   FROM events GROUP BY ALL
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, MIN(s) AS a, MAX(s) AS b, MIN(dict) AS c, MAX(dict) AS d, MIN(txt) AS e, MAX(ls) AS f
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '5' SECOND))
GROUP BY window_start, window_end;
