-- Cards with 10 or more payments in 24 hours, looked at every 6 hours.
CREATE TABLE tx (
  WATERMARK FOR event_time AS event_time - INTERVAL '0' SECOND
) WITH ('connector' = 'filesystem', 'path' = '${PELTON_DATA:-../shared/data}/fraud_transactions/transactions.parquet');

CREATE TABLE answer WITH ('connector' = 'filesystem', 'path' = '${OUT:-answers}/03_card_hop_24h_6h.parquet') AS
SELECT window_start, customer_id, COUNT(*) AS n, SUM(CAST(ROUND(amount * 100) AS BIGINT)) AS sum_cents, MAX(amount) AS max_amount
FROM TABLE(HOP(TABLE tx, DESCRIPTOR(event_time), INTERVAL '6' HOUR, INTERVAL '24' HOUR))
GROUP BY window_start, window_end, customer_id
HAVING COUNT(*) >= 10;
