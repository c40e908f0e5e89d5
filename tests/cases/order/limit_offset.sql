-- LIMIT with OFFSET.
-- duckdb: SELECT pos, qty FROM ticks ORDER BY qty, pos LIMIT 100 OFFSET 50
-- ordered
CREATE TABLE ticks (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/ticks.parquet', 'history.path' = '${HISTORY}/ticks');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT pos, qty FROM ticks ORDER BY qty, pos LIMIT 100 OFFSET 50;
