-- 20,000 rows against 4,000 duplicates.
-- duckdb: SELECT t.pos, b.bidder FROM ticks t JOIN bids b ON t.buyer = b.auction WHERE b.price > 3000
CREATE TABLE ticks (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/ticks.parquet', 'history.path' = '${HISTORY}/ticks');
CREATE TABLE bids WITH ('connector' = 'filesystem', 'path' = '${DATA}/bids.parquet');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT t.pos, b.bidder FROM ticks AS t JOIN bids AS b ON t.buyer = b.auction WHERE b.price > 3000;
