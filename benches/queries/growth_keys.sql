-- growth_keys: keys over a stream of any length, 500,000 new keys in every window. For ../memory.py.
CREATE TABLE payments (
    key STRING,
    amount DOUBLE,
    event_time TIMESTAMP(6),
    WATERMARK FOR event_time AS event_time - INTERVAL '2' SECOND
) WITH (
    'connector' = 'datagen', 'number-of-rows' = '${ROWS}', 'fields.key.length' = '16', 'fields.amount.max' = '1000',
    'fields.event_time.kind' = 'sequence', 'fields.event_time.step' = '20us'
);

CREATE TABLE result WITH (${SINK}) AS
SELECT key, window_start AS w, COUNT(*) AS n, SUM(amount) AS s
FROM TABLE(TUMBLE(TABLE payments, DESCRIPTOR(event_time), INTERVAL '10' SECOND))
GROUP BY key, window_start, window_end;
