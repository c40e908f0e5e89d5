-- A bounded side without rows.
-- duckdb: SELECT pos, g.tier FROM payments p LEFT JOIN (SELECT * FROM cards WHERE card < 0) g ON p.card = g.card
CREATE TABLE payments (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/payments.parquet', 'history.path' = '${HISTORY}/payments');
CREATE TABLE cards WITH ('connector' = 'filesystem', 'path' = '${DATA}/cards.parquet');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT pos, g.tier FROM payments AS p LEFT JOIN (SELECT * FROM cards WHERE card < 0) AS g ON p.card = g.card;
