-- nx7x: Nexmark q7 without its join: the highest bid of each 10 seconds.
CREATE TABLE bid (
    auction BIGINT,
    bidder BIGINT,
    price BIGINT,
    channel STRING,
    dateTime BIGINT,
    ts AS TO_TIMESTAMP_LTZ(dateTime, 3),
    WATERMARK FOR ts AS ts - INTERVAL '0.001' SECOND
) WITH (${SOURCE_bid});

CREATE TABLE result WITH (${SINK}) AS
SELECT window_start AS w, MAX(price) AS price
FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(ts), INTERVAL '10' SECOND))
GROUP BY window_start, window_end;
