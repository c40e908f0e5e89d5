-- A selective filter over 20,000 rows.
-- duckdb: SELECT pos, ts, symbol, price FROM ticks WHERE symbol IN ('ACME', 'ECHO') AND qty > 400
CREATE TABLE ticks (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/ticks.parquet', 'history.path' = '${HISTORY}/ticks');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT pos, ts, symbol, price FROM ticks WHERE symbol IN ('ACME', 'ECHO') AND qty > 400;
