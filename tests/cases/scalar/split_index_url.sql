-- Nexmark q22: directories of a URL.
-- duckdb:
--   SELECT auction, channel, split_part(url, '/', 4) AS dir1, split_part(url, '/', 5) AS dir2,
--     split_part(url, '/', 6) AS dir3
--   FROM bids
CREATE TABLE bids (WATERMARK FOR dateTime AS dateTime)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/bids.parquet', 'history.path' = '${HISTORY}/bids');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT auction, channel, SPLIT_INDEX(url, '/', 3) AS dir1, SPLIT_INDEX(url, '/', 4) AS dir2,
  SPLIT_INDEX(url, '/', 5) AS dir3
FROM bids;
