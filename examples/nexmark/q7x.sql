-- Nexmark Query 7, without its join: highest bid.
-- The highest price in each 10 seconds. (The official query joins this back to the bids, to show them whole.)

CREATE TABLE bid (
    auction BIGINT,
    bidder BIGINT,
    price BIGINT,
    channel STRING,
    url STRING,
    dateTime TIMESTAMP(3),
    extra STRING,
    WATERMARK FOR dateTime AS dateTime - INTERVAL '4' SECOND
) WITH (
    'connector' = 'nexmark',
    'nexmark.table' = 'bid',
    'events.num' = '100000',
    'first-event.rate' = '1000'
);

CREATE TABLE nexmark_q7x (
    window_start TIMESTAMP(3),
    window_end TIMESTAMP(3),
    maxprice BIGINT
) WITH (
    'connector' = 'print'
);

INSERT INTO nexmark_q7x
SELECT window_start, window_end, MAX(price) AS maxprice
FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(dateTime), INTERVAL '10' SECOND))
GROUP BY window_start, window_end;
