-- Declared columns match those of the file by name, in any order, and may be fewer.
-- duckdb: SELECT name, k, seq FROM events
CREATE TABLE events (
  name VARCHAR(20),
  k INT,
  seq BIGINT,
  ts TIMESTAMP(3),
  WATERMARK FOR ts AS ts
)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT name, k, seq FROM events;
