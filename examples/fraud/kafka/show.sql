-- What is in the topic `alerts` by now, as a reader of committed messages sees it.
CREATE TABLE alerts (card_id BIGINT, window_end TIMESTAMP(3), payments BIGINT, countries BIGINT, highest DOUBLE)
WITH (
    'connector' = 'kafka',
    'topic' = 'alerts',
    'properties.bootstrap.servers' = 'localhost:9092',
    'scan.startup.mode' = 'earliest-offset',
    'scan.bounded.mode' = 'latest-offset',
    'format' = 'json'
);

SELECT window_end, COUNT(*) AS alerts, MAX(highest) AS highest FROM alerts GROUP BY window_end ORDER BY window_end DESC LIMIT 10;
