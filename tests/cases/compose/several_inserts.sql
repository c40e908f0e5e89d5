-- INSERTs one after the other are one pipeline too.
-- duckdb: SELECT seq FROM events WHERE q > 10
-- duckdb rest: SELECT seq, q FROM events WHERE q <= 10
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out (
  seq BIGINT
) WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet');
CREATE TABLE rest (
  seq BIGINT,
  q INT
) WITH ('connector' = 'filesystem', 'path' = '${OUT}/rest.parquet');

INSERT INTO out SELECT seq FROM events WHERE q > 10;
INSERT INTO rest SELECT seq, q FROM events WHERE q <= 10;
