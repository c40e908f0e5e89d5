-- Expressions on both sides.
-- duckdb: SELECT pos, tier FROM payments p JOIN cards c ON p.card % 50 + 1 = c.card - 10
CREATE TABLE payments (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/payments.parquet', 'history.path' = '${HISTORY}/payments');
CREATE TABLE cards WITH ('connector' = 'filesystem', 'path' = '${DATA}/cards.parquet');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT pos, tier FROM payments AS p JOIN cards AS c ON p.card % 50 + 1 = c.card - 10;
