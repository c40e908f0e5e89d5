-- Nexmark Query 5, without its join: hot items.
-- How many bids the busiest auction got in the last 10 seconds, every 2 seconds: a window over a window. (The official query
-- joins this back to the counts, to name the auction.)

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

CREATE TABLE nexmark_q5x (
    window_start TIMESTAMP(3),
    window_end TIMESTAMP(3),
    num BIGINT
) WITH (
    'connector' = 'print'
);

INSERT INTO nexmark_q5x
SELECT window_start, window_end, MAX(num) AS num
FROM (
    SELECT auction, COUNT(*) AS num, window_start, window_end
    FROM TABLE(HOP(TABLE bid, DESCRIPTOR(dateTime), INTERVAL '2' SECOND, INTERVAL '10' SECOND))
    GROUP BY auction, window_start, window_end
) AS counts
GROUP BY window_start, window_end;
