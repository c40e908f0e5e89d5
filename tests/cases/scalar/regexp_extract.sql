-- REGEXP_EXTRACT of a group; NULL without a match (Nexmark q21).
-- duckdb:
--   SELECT auction, nullif(regexp_extract(url, '(&|^)channel_id=([^&]*)', 2), '') AS channel_id,
--     nullif(regexp_extract(url, 'a8', 0), '') AS a8
--   FROM bids
CREATE TABLE bids (WATERMARK FOR dateTime AS dateTime)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/bids.parquet', 'history.path' = '${HISTORY}/bids');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT auction, REGEXP_EXTRACT(url, '(&|^)channel_id=([^&]*)', 2) AS channel_id, REGEXP_EXTRACT(url, 'a8', 0) AS a8
FROM bids;
