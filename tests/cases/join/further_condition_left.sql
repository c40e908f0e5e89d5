-- An inequality beside the key, left: rows that fail it stay without a match.
-- duckdb:
--   SELECT pos, amount, card_limit FROM payments p LEFT JOIN cards c ON p.card = c.card AND p.amount > c.card_limit
CREATE TABLE payments (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/payments.parquet', 'history.path' = '${HISTORY}/payments');
CREATE TABLE cards WITH ('connector' = 'filesystem', 'path' = '${DATA}/cards.parquet');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT pos, amount, card_limit FROM payments AS p LEFT JOIN cards AS c ON p.card = c.card AND p.amount > c.card_limit;
