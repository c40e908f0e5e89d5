-- A view over a view.
-- duckdb: SELECT seq, q * q AS sq FROM events WHERE q > 0 AND q < 10
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE VIEW positive AS SELECT seq, q FROM events WHERE q > 0;
CREATE VIEW small AS SELECT seq, q * q AS sq FROM positive WHERE q < 10;

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT * FROM small;
