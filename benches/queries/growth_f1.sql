-- growth_f1: f1 over a stream of any length, 50 million payments an hour. For ../memory.py.
CREATE TABLE fraud (
    amount DOUBLE,
    country STRING,
    mcc INT,
    event_time TIMESTAMP(3),
    WATERMARK FOR event_time AS event_time - INTERVAL '2' SECOND
) WITH (
    'connector' = 'fraud', 'number-of-rows' = '${ROWS}', 'payments-per-day' = '1200000000',
    'cards' = '1000000', 'terminals' = '50000', 'out-of-order' = '2s'
);

CREATE TABLE result WITH (${SINK}) AS
SELECT country, mcc, window_start AS w, COUNT(*) AS n, SUM(amount) AS s, AVG(amount) AS a,
    MIN(amount) AS mn, MAX(amount) AS mx, STDDEV_SAMP(amount) AS sd
FROM TABLE(TUMBLE(TABLE fraud, DESCRIPTOR(event_time), INTERVAL '1' MINUTE))
WHERE amount > 50.0 AND country IN ('US', 'GB', 'DE', 'FR', 'BR', 'IN', 'JP', 'CA')
GROUP BY country, mcc, window_start, window_end;
