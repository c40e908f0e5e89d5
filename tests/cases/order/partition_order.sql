-- Without ORDER BY, rows without state keep the order of their partition.
-- duckdb: SELECT seq, q FROM events WHERE q > 0 ORDER BY seq
-- ordered
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, q FROM events WHERE q > 0;
