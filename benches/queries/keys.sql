-- keys: every row has a string key of its own, which leaves with its window. For ../memory.py.
CREATE TABLE payments (
    key STRING,
    amount DOUBLE,
    event_time BIGINT,
    ts AS TO_TIMESTAMP_LTZ(event_time, 3),
    WATERMARK FOR ts AS ts - INTERVAL '2' SECOND
) WITH (${SOURCE_keys});

CREATE TABLE result WITH (${SINK}) AS
SELECT key, window_start AS w, COUNT(*) AS n, SUM(amount) AS s
FROM TABLE(TUMBLE(TABLE payments, DESCRIPTOR(ts), INTERVAL '10' SECOND))
GROUP BY key, window_start, window_end;
