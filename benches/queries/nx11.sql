-- nx11: Nexmark q11, sessions of each bidder. The peers start a new session 10 s after the last bid; here a bid exactly the
-- gap later still joins, so the gap is one tick less.
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
SELECT bidder, COUNT(*) AS n, MIN(dateTime) AS st, MAX(dateTime) AS en
FROM TABLE(SESSION(TABLE bid PARTITION BY bidder, DESCRIPTOR(ts), INTERVAL '9.999' SECOND))
GROUP BY bidder, window_start, window_end;
