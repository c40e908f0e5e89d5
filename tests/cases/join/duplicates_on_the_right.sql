-- A row appears once for each of its matches.
-- duckdb: SELECT pos, p.merchant, mcc FROM payments p LEFT JOIN merchants m ON p.merchant = m.merchant
CREATE TABLE payments (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/payments.parquet', 'history.path' = '${HISTORY}/payments');
CREATE TABLE merchants WITH ('connector' = 'filesystem', 'path' = '${DATA}/merchants.parquet');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT pos, p.merchant, mcc FROM payments AS p LEFT JOIN merchants AS m ON p.merchant = m.merchant;
