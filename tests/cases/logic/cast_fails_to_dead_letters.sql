-- A row whose CAST fails is a dead letter; its neighbours are not.
-- duckdb: SELECT seq, try_cast(i32 AS SMALLINT) AS c FROM events WHERE i32 IS NULL OR i32 BETWEEN -32768 AND 32767
-- dead letters: SELECT count(*) FROM events WHERE i32 NOT BETWEEN -32768 AND 32767
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, CAST(i32 AS SMALLINT) AS c FROM events;
