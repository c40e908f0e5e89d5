-- CREATE TEMPORARY VIEW with column names.
-- duckdb: SELECT seq AS id, name AS label FROM events WHERE name IS NOT NULL
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TEMPORARY VIEW labels (id, label) AS SELECT seq, name FROM events WHERE name IS NOT NULL;

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT id, label FROM labels;
