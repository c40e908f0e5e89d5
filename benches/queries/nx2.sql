-- nx2: Nexmark q2, a filter.
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
SELECT auction, price
FROM bid
WHERE MOD(auction, 123) = 0;
