-- Bids per auction and hop, then the largest count per window.
-- duckdb:
--   SELECT window_start, window_end, max(n) AS n FROM (
--     SELECT auction, window_start, window_start + INTERVAL 10 SECOND AS window_end, count(*) AS n
--     FROM (SELECT auction, unnest(hops("dateTime", INTERVAL 2 SECOND, INTERVAL 10 SECOND)) AS window_start FROM bids)
--     GROUP BY ALL)
--   GROUP BY ALL
CREATE TABLE bids (WATERMARK FOR dateTime AS dateTime)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/bids.parquet', 'history.path' = '${HISTORY}/bids');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, window_end, MAX(n) AS n FROM (
  SELECT auction, window_start, window_end, COUNT(*) AS n
  FROM TABLE(HOP(TABLE bids, DESCRIPTOR(dateTime), INTERVAL '2' SECOND, INTERVAL '10' SECOND))
  GROUP BY auction, window_start, window_end
) GROUP BY window_start, window_end;
