-- Bursts of 4 or more payments of one card, no more than 30 minutes apart.
-- displace: fraud_transactions/transactions 60
CREATE TABLE tx (
  WATERMARK FOR event_time AS event_time - INTERVAL '60' SECOND
) WITH ('connector' = 'filesystem', 'path' = '${PELTON_DATA:-../shared/data}/fraud_transactions/transactions.parquet');

CREATE TABLE answer WITH ('connector' = 'filesystem', 'path' = '${OUT:-answers}/04_card_sessions_30m.parquet') AS
SELECT customer_id, window_start AS session_start, window_end AS session_end, COUNT(*) AS n,
  SUM(CAST(ROUND(amount * 100) AS BIGINT)) AS sum_cents, SUM(is_fraud) AS frauds
FROM TABLE(SESSION(TABLE tx PARTITION BY customer_id, DESCRIPTOR(event_time), INTERVAL '30' MINUTE))
GROUP BY customer_id, window_start, window_end
HAVING COUNT(*) >= 4;
