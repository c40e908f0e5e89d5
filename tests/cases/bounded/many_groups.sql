-- 20,000 rows in 4,000 groups.
-- duckdb: SELECT buyer, COUNT(*) AS n, SUM(price * qty) AS s, MAX(symbol) AS m FROM ticks GROUP BY buyer
CREATE TABLE ticks (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/ticks.parquet', 'history.path' = '${HISTORY}/ticks');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT buyer, COUNT(*) AS n, SUM(price * qty) AS s, MAX(symbol) AS m FROM ticks GROUP BY buyer;
