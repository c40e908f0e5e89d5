-- A NULL in a NOT NULL column is a schema violation: a dead letter.
-- duckdb: SELECT seq, k FROM events WHERE k IS NOT NULL
-- dead letters: SELECT count(*) FROM events WHERE k IS NULL
CREATE TABLE events (
  seq BIGINT NOT NULL,
  ts TIMESTAMP(3),
  k INT NOT NULL,
  WATERMARK FOR ts AS ts
)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, k FROM events;
