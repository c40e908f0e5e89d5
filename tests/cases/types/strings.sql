-- Strings, large strings and dictionaries; empty and non-ASCII ones.
-- duckdb: SELECT seq, s, ls, dict, txt FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, s, ls, dict, txt FROM events;
