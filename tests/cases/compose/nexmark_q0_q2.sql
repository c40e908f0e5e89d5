-- Pass through and filter, as Nexmark q0 and q2.
-- duckdb: SELECT auction, bidder, price, "dateTime", extra FROM bids
-- duckdb q2: SELECT auction, price FROM bids WHERE auction % 123 = 0
CREATE TABLE bids (WATERMARK FOR dateTime AS dateTime)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/bids.parquet', 'history.path' = '${HISTORY}/bids');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT auction, bidder, price, dateTime, extra FROM bids;

CREATE TABLE q2 WITH ('connector' = 'filesystem', 'path' = '${OUT}/q2.parquet') AS
SELECT auction, price FROM bids WHERE MOD(auction, 123) = 0;
