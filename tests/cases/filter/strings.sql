-- Equality, order and prefix of strings and dictionaries.
-- duckdb: SELECT seq, name, dict, s FROM events WHERE name = 'cedar' OR dict > 'fir' OR s LIKE 'Z%'
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, name, dict, s FROM events WHERE name = 'cedar' OR dict > 'fir' OR s LIKE 'Z%';
