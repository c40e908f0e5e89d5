-- The bounded side is a subquery.
-- duckdb:
--   SELECT pos, g.card FROM payments p LEFT JOIN (SELECT card FROM cards WHERE tier = 'gold') g ON p.card = g.card
CREATE TABLE payments (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/payments.parquet', 'history.path' = '${HISTORY}/payments');
CREATE TABLE cards WITH ('connector' = 'filesystem', 'path' = '${DATA}/cards.parquet');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT pos, g.card FROM payments AS p LEFT JOIN (SELECT card FROM cards WHERE tier = 'gold') AS g ON p.card = g.card;
