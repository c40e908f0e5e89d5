-- Per hour: how many payments, how much money, how many frauds.
-- displace: fraud_transactions/transactions 60
CREATE TABLE tx (
  WATERMARK FOR event_time AS event_time - INTERVAL '60' SECOND
) WITH ('connector' = 'filesystem', 'path' = '${PELTON_DATA:-../shared/data}/fraud_transactions/transactions.parquet');

CREATE TABLE answer WITH ('connector' = 'filesystem', 'path' = '${OUT:-answers}/01_fraud_hourly.parquet') AS
SELECT window_start, COUNT(*) AS n, SUM(CAST(ROUND(amount * 100) AS BIGINT)) AS sum_cents, MIN(amount) AS min_amount,
  MAX(amount) AS max_amount, SUM(is_fraud) AS frauds
FROM TABLE(TUMBLE(TABLE tx, DESCRIPTOR(event_time), INTERVAL '1' HOUR))
GROUP BY window_start, window_end;
