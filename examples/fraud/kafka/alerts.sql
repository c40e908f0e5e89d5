-- Alerts about cards, from Kafka to Kafka, each exactly once: the rows of a checkpoint are one transaction.
SET 'pelton.checkpoint.dir' = 'demo-out/kafka/checkpoints';
SET 'pelton.checkpoint.interval' = '500ms';

CREATE TABLE payments (
    payment_id BIGINT,
    event_time TIMESTAMP(3),
    card_id BIGINT,
    amount DOUBLE,
    country STRING,
    WATERMARK FOR event_time AS event_time - INTERVAL '1' MINUTE
) WITH (
    'connector' = 'kafka',
    'topic' = 'payments',
    'properties.bootstrap.servers' = 'localhost:9092',
    'scan.startup.mode' = 'earliest-offset',
    'scan.watermark.idle-timeout' = '5s',
    'format' = 'json',
    'history.path' = 'demo-out/kafka/history'
);

CREATE TABLE alerts WITH (
    'connector' = 'kafka',
    'topic' = 'alerts',
    'properties.bootstrap.servers' = 'localhost:9092',
    'format' = 'json',
    'key.format' = 'raw',
    'key.fields' = 'card_id'
) AS
SELECT card_id, window_end, COUNT(*) AS payments, COUNT(DISTINCT country) AS countries, MAX(amount) AS highest
FROM TUMBLE(payments, event_time, INTERVAL '1' HOUR)
GROUP BY card_id, window_start, window_end
HAVING COUNT(*) >= 6 OR MAX(amount) > 500;
