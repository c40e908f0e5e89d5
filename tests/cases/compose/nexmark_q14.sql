-- Calculations and filters, as Nexmark q14.
-- duckdb:
--   SELECT auction, bidder, 0.908 * price AS price,
--     CASE WHEN hour("dateTime") BETWEEN 8 AND 18 THEN 'dayTime'
--       WHEN hour("dateTime") <= 6 OR hour("dateTime") >= 20 THEN 'nightTime' ELSE 'otherTime' END AS bidTimeType, extra
--       FROM bids WHERE 0.908 * price > 100 AND 0.908 * price < 5000
CREATE TABLE bids (WATERMARK FOR dateTime AS dateTime)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/bids.parquet', 'history.path' = '${HISTORY}/bids');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT auction, bidder, 0.908 * price AS price,
  CASE WHEN HOUR(dateTime) >= 8 AND HOUR(dateTime) <= 18 THEN 'dayTime'
    WHEN HOUR(dateTime) <= 6 OR HOUR(dateTime) >= 20 THEN 'nightTime' ELSE 'otherTime' END AS bidTimeType,
  extra
FROM bids WHERE 0.908 * price > 100 AND 0.908 * price < 5000;
