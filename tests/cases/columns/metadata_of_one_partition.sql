-- A folder read as one partition: offsets go on from file to file.
-- duckdb: SELECT seq, 0 AS p, seq AS o, '2024-03-' || (10 + part) || '.parquet' AS file FROM events_days
CREATE TABLE days (
  seq BIGINT,
  ts TIMESTAMP(3),
  p INT METADATA FROM 'partition' VIRTUAL,
  o BIGINT METADATA FROM 'offset' VIRTUAL,
  path STRING METADATA FROM 'file.path' VIRTUAL,
  WATERMARK FOR ts AS ts
)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events_days', 'history.path' = '${HISTORY}/days');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, p, o, SPLIT_INDEX(path, '/', CHAR_LENGTH(path) - CHAR_LENGTH(REPLACE(path, '/', ''))) AS file FROM days;
