-- SELECT DISTINCT of expressions.
-- duckdb: SELECT DISTINCT q % 7 AS m, length(name) AS l FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT DISTINCT q % 7 AS m, CHAR_LENGTH(name) AS l FROM events;
