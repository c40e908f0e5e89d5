-- Two columns as key, one of them a dictionary.
-- duckdb:
--   SELECT pos, amount, rate, amount * rate AS local FROM payments p LEFT
--   JOIN rates r ON p.currency = r.currency AND p.country = r.country
CREATE TABLE payments (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/payments.parquet', 'history.path' = '${HISTORY}/payments');
CREATE TABLE rates WITH ('connector' = 'filesystem', 'path' = '${DATA}/rates.parquet');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT pos, amount, rate, amount * rate AS local
FROM payments AS p LEFT JOIN rates AS r ON p.currency = r.currency AND p.country = r.country;
