-- Metadata columns: file, partition and offset.
-- duckdb:
--   SELECT seq, parse_filename(filename) AS file, 0 AS p, file_row_number AS o
--   FROM read_parquet('${DATA}/events.parquet', filename = TRUE, file_row_number = TRUE)
CREATE TABLE events (
  seq BIGINT,
  ts TIMESTAMP(3),
  file_path STRING METADATA FROM 'file.path',
  p INT METADATA FROM 'partition' VIRTUAL,
  o BIGINT METADATA FROM 'offset' VIRTUAL,
  WATERMARK FOR ts AS ts
)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, REGEXP_EXTRACT(file_path, '[^/]+$', 0) AS file, p, o FROM events;
