-- Left: rows without a match and with a NULL key stay.
-- duckdb:
--   SELECT pos, p.card, tier, card_limit, c.card AS found FROM payments p LEFT JOIN cards c ON p.card = c.card
CREATE TABLE payments (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/payments.parquet', 'history.path' = '${HISTORY}/payments');
CREATE TABLE cards WITH ('connector' = 'filesystem', 'path' = '${DATA}/cards.parquet');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT pos, p.card, tier, card_limit, c.card AS found FROM payments AS p LEFT JOIN cards AS c ON p.card = c.card;
