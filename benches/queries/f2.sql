-- f2: a million cards, 10 minutes: hundreds of thousands of groups close at once.
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
SELECT card_id, window_start AS w, COUNT(*) AS n, SUM(amount) AS s, MAX(amount) AS mx
FROM TABLE(TUMBLE(TABLE fraud, DESCRIPTOR(ts), INTERVAL '10' MINUTE))
GROUP BY card_id, window_start, window_end;
