-- NaN passes no finite upper bound, and is above every number.
-- duckdb: SELECT seq, nasty FROM events WHERE nasty > 5
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, nasty FROM events WHERE nasty > 5;
