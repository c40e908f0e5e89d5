-- Matches of one row share its time and offset; the answer is the same in every cell.
-- duckdb: none (the matches of a row have no order among themselves)
CREATE TABLE payments (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/payments.parquet', 'history.path' = '${HISTORY}/payments');
CREATE TABLE merchants WITH ('connector' = 'filesystem', 'path' = '${DATA}/merchants.parquet');

CREATE VIEW v AS SELECT p.ts, m.mcc FROM payments AS p JOIN merchants AS m ON p.merchant = m.merchant;

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start AS w, FIRST_VALUE(mcc) AS f, LAST_VALUE(mcc) AS l
FROM TABLE(TUMBLE(TABLE v, DESCRIPTOR(ts), INTERVAL '10' SECOND))
GROUP BY window_start, window_end;
