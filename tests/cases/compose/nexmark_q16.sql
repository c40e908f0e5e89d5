-- Channel statistics per minute, as Nexmark q16 in a window.
-- duckdb:
--   SELECT channel, strftime(tumble("dateTime", INTERVAL 1 MINUTE), '%H:%M') AS minute, count(*) AS total,
--     count(*) FILTER (WHERE price < 300) AS r1, count(*) FILTER (WHERE price >= 300 AND price < 2000) AS r2,
--     count(DISTINCT bidder) AS bidders, count(DISTINCT auction) FILTER (WHERE price >= 2000) AS a3 FROM bids
--   GROUP BY ALL
CREATE TABLE bids (WATERMARK FOR dateTime AS dateTime)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/bids.parquet', 'history.path' = '${HISTORY}/bids');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT channel, DATE_FORMAT(window_start, 'HH:mm') AS `minute`, COUNT(*) AS total,
  COUNT(*) FILTER (WHERE price < 300) AS r1,
  COUNT(*) FILTER (WHERE price >= 300 AND price < 2000) AS r2, COUNT(DISTINCT bidder) AS bidders,
  COUNT(DISTINCT auction) FILTER (WHERE price >= 2000) AS a3
FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(dateTime), INTERVAL '1' MINUTE))
GROUP BY window_start, window_end, channel;
