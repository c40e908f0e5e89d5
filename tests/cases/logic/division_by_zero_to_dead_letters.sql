-- A row that divides by zero is a dead letter.
-- duckdb: SELECT seq, trunc(100 / q)::INT AS c FROM events WHERE q <> 0
-- dead letters: SELECT count(*) FROM events WHERE q = 0
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, 100 / q AS c FROM events;
