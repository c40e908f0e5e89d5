-- Simulated payments, into the topic `payments`: the key is the card, so that a card's payments stay in one partition.
CREATE TABLE simulated (
    payment_id BIGINT,
    event_time TIMESTAMP(3),
    card_id BIGINT,
    terminal_id BIGINT,
    amount DOUBLE,
    country STRING,
    is_fraud BOOLEAN
) WITH (
    'connector' = 'fraud',
    'days' = '2',
    'payments-per-day' = '50000',
    'out-of-order' = '30s',
    'seed' = '7',
    'rows-per-second' = '20000'
);

CREATE TABLE payments WITH (
    'connector' = 'kafka',
    'topic' = 'payments',
    'properties.bootstrap.servers' = 'localhost:9092',
    'format' = 'json',
    'key.format' = 'raw',
    'key.fields' = 'card_id'
) AS SELECT * FROM simulated;
