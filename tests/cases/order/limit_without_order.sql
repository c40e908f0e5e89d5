-- LIMIT alone takes the first rows of the partition.
-- duckdb: SELECT seq FROM events WHERE q > 0 ORDER BY pos LIMIT 25
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq FROM events WHERE q > 0 LIMIT 25;
