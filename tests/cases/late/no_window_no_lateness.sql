-- Without a window no row is late.
-- duckdb: SELECT seq, ts FROM events_late WHERE q > 0
-- late: SELECT 0
CREATE TABLE events_late (WATERMARK FOR ts AS ts - INTERVAL '2' SECOND)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events_late.parquet', 'history.path' = '${HISTORY}/events_late');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, ts FROM events_late WHERE q > 0;
