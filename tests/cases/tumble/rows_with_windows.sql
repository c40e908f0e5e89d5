-- The table function alone: rows with their window.
-- duckdb:
--   SELECT seq, tumble(ts, INTERVAL 10 SECOND) AS window_start, window_start + INTERVAL 10 SECOND AS window_end, name
--   FROM events WHERE q > 10
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, window_start, window_end, name
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '10' SECOND)) WHERE q > 10;
