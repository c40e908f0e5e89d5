-- A key that is named twice, by another alias or its number, is one key; the window bounds too.
-- duckdb:
--   SELECT date_trunc('hour', ts) AS ws, date_trunc('hour', ts) AS again, name AS one, name AS other, COUNT(*) AS n, SUM(seq) AS s
--   FROM events GROUP BY 1, 2, 3, 4
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start AS ws, window_start AS again, name AS one, name AS other, COUNT(*) AS n, SUM(seq) AS s
FROM TUMBLE(events, ts, INTERVAL '1' HOUR)
GROUP BY window_start, window_end, window_start, one, other, name;
