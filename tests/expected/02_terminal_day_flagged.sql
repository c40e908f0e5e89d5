-- Terminals with 3 or more frauds in one day.
CREATE TABLE tx (
  WATERMARK FOR event_time AS event_time - INTERVAL '0' SECOND
) WITH ('connector' = 'filesystem', 'path' = '${PELTON_DATA:-../shared/data}/fraud_transactions/transactions.parquet');

CREATE TABLE answer WITH ('connector' = 'filesystem', 'path' = '${OUT:-answers}/02_terminal_day_flagged.parquet') AS
SELECT window_start, terminal_id, COUNT(*) AS n, SUM(CAST(ROUND(amount * 100) AS BIGINT)) AS sum_cents, SUM(is_fraud) AS frauds
FROM TABLE(TUMBLE(TABLE tx, DESCRIPTOR(event_time), INTERVAL '1' DAY))
GROUP BY window_start, window_end, terminal_id
HAVING SUM(is_fraud) >= 3;
