-- CHAR_LENGTH counts letters, OCTET_LENGTH bytes.
-- duckdb:
--   SELECT seq, length(s) AS a, length(name) AS b, strlen(s) AS c
--   FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, CHAR_LENGTH(s) AS a, CHARACTER_LENGTH(name) AS b, OCTET_LENGTH(s) AS c
FROM events;
