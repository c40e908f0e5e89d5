-- INSERT into a declared sink goes by position and takes its column types.
-- duckdb: SELECT seq AS id, k::BIGINT AS "key", f32::DOUBLE AS v, d9::DECIMAL(18, 2) AS d, ts FROM events
-- types: key=int64 v=double ts=timestamp[us]
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out (
  id BIGINT,
  `key` BIGINT,
  v DOUBLE,
  d DECIMAL(18, 2),
  ts TIMESTAMP(6)
) WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet');

INSERT INTO out SELECT seq, k, f32, d9, ts FROM events;
