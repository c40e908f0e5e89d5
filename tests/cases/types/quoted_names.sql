-- Identifiers compare without case and keep theirs; backticks quote; aliases may be words of SQL.
-- duckdb: SELECT auction AS "Auction", "dateTime" AS "order", price AS "my price" FROM bids
CREATE TABLE bids (WATERMARK FOR dateTime AS dateTime)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/bids.parquet', 'history.path' = '${HISTORY}/bids');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT AUCTION AS `Auction`, datetime AS `order`, `price` AS `my price` FROM Bids;
