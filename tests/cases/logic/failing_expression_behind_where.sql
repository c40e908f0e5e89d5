-- Only rows that pass WHERE can fail in the projection.
-- duckdb: SELECT seq, trunc(100 / q)::INT AS c FROM events WHERE q >= 0 AND b AND q <> 0
-- dead letters: SELECT count(*) FROM events WHERE q = 0 AND b
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, 100 / q AS c FROM events WHERE q >= 0 AND b;
