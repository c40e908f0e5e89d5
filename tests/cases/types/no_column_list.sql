-- A table without columns and without a watermark.
-- duckdb: SELECT k, d9, pos FROM events
CREATE TABLE events WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet',
  'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT k, d9, pos FROM events;
