-- The table function alone: a row appears once for each of its windows.
-- duckdb:
--   SELECT seq, unnest(hops(ts, INTERVAL 5 SECOND, INTERVAL 15 SECOND)) AS window_start FROM events WHERE k = 3
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, window_start FROM TABLE(HOP(TABLE events, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '15' SECOND))
WHERE k = 3;
