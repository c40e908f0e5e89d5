-- A column declared wider than the file has it is widened.
-- duckdb: SELECT seq, k, i16::BIGINT AS i16, f32::DOUBLE AS f32, d9::DECIMAL(20, 2) AS d9 FROM events
-- types: k=int64 i16=int64 f32=double
CREATE TABLE events (
  seq BIGINT,
  ts TIMESTAMP(3),
  k BIGINT,
  i16 BIGINT,
  f32 DOUBLE,
  d9 DECIMAL(20, 2),
  WATERMARK FOR ts AS ts
)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, k, i16, f32, d9 FROM events;
