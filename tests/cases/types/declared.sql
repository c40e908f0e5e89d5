-- Columns declared with Flink's types.
-- duckdb: SELECT seq, ts, k, name, i8, i16, i64, f32, f64, d9, b, day, ts_us, ts_utc, bin FROM events
-- types: i8=int8 i16=int16 k=int32 i64=int64 f32=float b=bool
CREATE TABLE events (
  seq BIGINT NOT NULL,
  ts TIMESTAMP(3),
  k INT,
  name STRING,
  i8 TINYINT,
  i16 SMALLINT,
  i64 BIGINT,
  f32 FLOAT,
  f64 DOUBLE,
  d9 DECIMAL(9, 2),
  b BOOLEAN,
  `day` DATE,
  ts_us TIMESTAMP(6),
  ts_utc TIMESTAMP_LTZ(6),
  bin BYTES,
  WATERMARK FOR ts AS ts
)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, ts, k, name, i8, i16, i64, f32, f64, d9, b, `day`, ts_us, ts_utc, bin FROM events;
