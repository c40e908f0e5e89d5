-- JOIN … USING.
-- duckdb: SELECT pos, card, tier FROM payments JOIN cards USING (card)
CREATE TABLE payments (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/payments.parquet', 'history.path' = '${HISTORY}/payments');
CREATE TABLE cards WITH ('connector' = 'filesystem', 'path' = '${DATA}/cards.parquet');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT pos, card, tier FROM payments JOIN cards USING (card);
