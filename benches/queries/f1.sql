-- f1: one payment in eight passes the filter; six aggregates per country, merchant category and minute. Up to 2 s out of order.
CREATE TABLE fraud (
    card_id BIGINT,
    merchant_id INT,
    amount DOUBLE,
    country STRING,
    mcc INT,
    event_time BIGINT,
    is_online BOOLEAN,
    ts AS TO_TIMESTAMP_LTZ(event_time, 3),
    WATERMARK FOR ts AS ts - INTERVAL '2' SECOND
) WITH (${SOURCE_fraud});

CREATE TABLE result WITH (${SINK}) AS
SELECT country, mcc, window_start AS w, COUNT(*) AS n, SUM(amount) AS s, AVG(amount) AS a,
    MIN(amount) AS mn, MAX(amount) AS mx, STDDEV_SAMP(amount) AS sd
FROM TABLE(TUMBLE(TABLE fraud, DESCRIPTOR(ts), INTERVAL '1' MINUTE))
WHERE amount > 50.0 AND country IN ('US', 'GB', 'DE', 'FR', 'BR', 'IN', 'JP', 'CA')
GROUP BY country, mcc, window_start, window_end;
