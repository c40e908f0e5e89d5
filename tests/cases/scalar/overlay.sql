-- OVERLAY … PLACING.
-- duckdb:
--   SELECT seq, substr(txt, 1, 4) || 'XX' || substr(txt, 7) AS a, substr(txt, 1, 1) || 'Y' || substr(txt, 5) AS b
--   FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, OVERLAY(txt PLACING 'XX' FROM 5) AS a, OVERLAY(txt PLACING 'Y' FROM 2 FOR 3) AS b
FROM events;
