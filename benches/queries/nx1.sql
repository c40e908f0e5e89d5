-- nx1: Nexmark q1, a projection. The factor is a DECIMAL, as in the original.
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
SELECT auction, bidder, 0.908 * price AS price, dateTime
FROM bid;
