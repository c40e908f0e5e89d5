-- A hop that is a tumble.
-- duckdb:
--   SELECT k, window_start, window_start + INTERVAL 10 SECOND AS window_end, count(*) AS n
--   FROM (SELECT *, unnest(hops(ts, INTERVAL 10 SECOND, INTERVAL 10 SECOND)) AS window_start FROM events) GROUP BY ALL
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT k, window_start, window_end, COUNT(*) AS n
FROM TABLE(HOP(TABLE events, DESCRIPTOR(ts), INTERVAL '10' SECOND, INTERVAL '10' SECOND))
GROUP BY k, window_start, window_end;
