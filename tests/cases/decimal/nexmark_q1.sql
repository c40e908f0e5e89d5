-- `0.908` is a decimal: the price in another currency is exact.
-- duckdb: SELECT auction, bidder, 0.908 * price AS price, "dateTime", extra FROM bids
CREATE TABLE bids (WATERMARK FOR dateTime AS dateTime)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/bids.parquet', 'history.path' = '${HISTORY}/bids');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT auction, bidder, 0.908 * price AS price, dateTime, extra FROM bids;
