-- ORDER BY an expression and a column that is not in the output.
-- duckdb: SELECT seq FROM events WHERE txt IS NOT NULL ORDER BY length(txt) DESC, q, seq LIMIT 500
-- ordered
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq FROM events WHERE txt IS NOT NULL ORDER BY CHAR_LENGTH(txt) DESC, q, seq LIMIT 500;
