-- Two CREATE TABLE … AS in one file, from two sources.
-- duckdb: SELECT tumble(ts, INTERVAL 1 MINUTE) AS w, count(*) AS n FROM events GROUP BY ALL
-- duckdb hot: SELECT auction, price FROM bids WHERE auction % 100 = 0
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');
CREATE TABLE bids (WATERMARK FOR dateTime AS dateTime)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/bids.parquet', 'history.path' = '${HISTORY}/bids');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start AS w, COUNT(*) AS n
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '1' MINUTE))
GROUP BY window_start, window_end;

CREATE TABLE hot WITH ('connector' = 'filesystem', 'path' = '${OUT}/hot.parquet') AS
SELECT auction, price FROM bids WHERE MOD(auction, 100) = 0;
