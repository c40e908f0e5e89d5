-- f3: 10 minutes, every minute, per card: about one result row a row. The first 10 parts of the payments.
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
) WITH (${SOURCE_fraud_s});

CREATE TABLE result WITH (${SINK}) AS
SELECT card_id, window_start AS w, COUNT(*) AS n, SUM(amount) AS s
FROM TABLE(HOP(TABLE fraud, DESCRIPTOR(ts), INTERVAL '1' MINUTE, INTERVAL '10' MINUTE))
GROUP BY card_id, window_start, window_end;
