-- The key of the second table is a column of the first.
-- duckdb:
--   SELECT pos, c.card_limit, d.tier FROM payments p JOIN cards c ON p.card = c.card LEFT
--   JOIN cards d ON c.card_limit = d.card
CREATE TABLE payments (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/payments.parquet', 'history.path' = '${HISTORY}/payments');
CREATE TABLE cards WITH ('connector' = 'filesystem', 'path' = '${DATA}/cards.parquet');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT pos, c.card_limit, d.tier FROM payments AS p
JOIN cards AS c ON p.card = c.card
LEFT JOIN cards AS d ON c.card_limit = d.card;
