-- A function of a string as key.
-- duckdb: SELECT pos, mcc FROM payments p LEFT JOIN merchants m ON upper(p.merchant) = upper(m.merchant)
CREATE TABLE payments (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/payments.parquet', 'history.path' = '${HISTORY}/payments');
CREATE TABLE merchants WITH ('connector' = 'filesystem', 'path' = '${DATA}/merchants.parquet');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT pos, mcc FROM payments AS p LEFT JOIN merchants AS m ON UPPER(p.merchant) = UPPER(m.merchant);
