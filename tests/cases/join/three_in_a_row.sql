-- Three enrichments, inner and left mixed, the last one over a column of the first.
-- duckdb:
--   SELECT pos, tier, city, rate FROM payments p LEFT JOIN cards c ON p.card = c.card
--   JOIN terminals t ON p.terminal = t.terminal_id LEFT JOIN rates r ON p.currency = r.currency AND p.country = r.country
CREATE TABLE payments (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/payments.parquet', 'history.path' = '${HISTORY}/payments');
CREATE TABLE cards WITH ('connector' = 'filesystem', 'path' = '${DATA}/cards.parquet');
CREATE TABLE terminals WITH ('connector' = 'filesystem', 'path' = '${DATA}/terminals.parquet');
CREATE TABLE rates WITH ('connector' = 'filesystem', 'path' = '${DATA}/rates.parquet');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT pos, tier, city, rate FROM payments AS p
LEFT JOIN cards AS c ON p.card = c.card
JOIN terminals AS t ON p.terminal = t.terminal_id
LEFT JOIN rates AS r ON p.currency = r.currency AND p.country = r.country;
