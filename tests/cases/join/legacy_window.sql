-- A join below a legacy window.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 2 MINUTE) AS w, tier, max(amount) AS m FROM payments p JOIN cards c ON p.card = c.card
--   GROUP BY ALL
CREATE TABLE payments (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/payments.parquet', 'history.path' = '${HISTORY}/payments');
CREATE TABLE cards WITH ('connector' = 'filesystem', 'path' = '${DATA}/cards.parquet');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT TUMBLE_START(p.ts, INTERVAL '2' MINUTE) AS w, c.tier, MAX(p.amount) AS m
FROM payments AS p JOIN cards AS c ON p.card = c.card GROUP BY c.tier, TUMBLE(p.ts, INTERVAL '2' MINUTE);
