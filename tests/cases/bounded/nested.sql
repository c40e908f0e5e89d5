-- An aggregate over an aggregate.
-- duckdb: SELECT n, COUNT(*) AS c FROM (SELECT buyer, COUNT(*) AS n FROM ticks GROUP BY buyer) GROUP BY n
CREATE TABLE ticks (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/ticks.parquet', 'history.path' = '${HISTORY}/ticks');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT n, COUNT(*) AS c FROM (SELECT buyer, COUNT(*) AS n FROM ticks GROUP BY buyer) GROUP BY n;
