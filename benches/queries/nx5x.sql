-- nx5x: Nexmark q5 without its join: bids per auction in 10 seconds every 2 seconds, and the highest count of each window.
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
SELECT window_start AS w, MAX(n) AS n
FROM (
    SELECT auction, window_start, window_end, COUNT(*) AS n
    FROM TABLE(HOP(TABLE bid, DESCRIPTOR(ts), INTERVAL '2' SECOND, INTERVAL '10' SECOND))
    GROUP BY auction, window_start, window_end
)
GROUP BY window_start, window_end;
