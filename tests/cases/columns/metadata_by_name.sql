-- A metadata column without FROM takes the key of its own name.
-- duckdb: SELECT seq, 0 AS "partition", pos AS "offset" FROM events WHERE pos % 10 = 3
CREATE TABLE events (
  seq BIGINT,
  ts TIMESTAMP(3),
  `partition` INT METADATA,
  `offset` BIGINT METADATA,
  WATERMARK FOR ts AS ts
)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, `partition`, `offset` FROM events WHERE `offset` % 10 = 3;
