-- Conditions without columns.
-- duckdb: SELECT seq FROM events WHERE 1 < 2 AND (NULL IS NULL)
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq FROM events WHERE 1 < 2 AND NULL IS NULL;
