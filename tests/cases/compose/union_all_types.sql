-- UNION ALL finds the common types.
-- duckdb: SELECT seq, k::DOUBLE AS v FROM events WHERE b UNION ALL SELECT seq, f64 FROM events WHERE NOT b
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, k AS v FROM events WHERE b
UNION ALL
SELECT seq, f64 FROM events WHERE NOT b;
