-- ORDER BY … LIMIT.
-- duckdb: SELECT seq, money FROM events WHERE money IS NOT NULL ORDER BY money DESC, seq LIMIT 25
-- ordered
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, money FROM events WHERE money IS NOT NULL ORDER BY money DESC, seq LIMIT 25;
