-- Sparse BIGINT keys, and NULL values on the right.
-- duckdb: SELECT pos, terminal, city, lat FROM payments LEFT JOIN terminals ON terminal = terminal_id
CREATE TABLE payments (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/payments.parquet', 'history.path' = '${HISTORY}/payments');
CREATE TABLE terminals WITH ('connector' = 'filesystem', 'path' = '${DATA}/terminals.parquet');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT pos, terminal, city, lat FROM payments LEFT JOIN terminals ON terminal = terminal_id;
