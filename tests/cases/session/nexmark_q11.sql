-- Bids of a user in one session.
-- duckdb:
--   WITH a AS (SELECT *, lag("dateTime") OVER (PARTITION BY bidder ORDER BY "dateTime") AS before FROM bids),
--     b AS (SELECT *, count(*) FILTER (WHERE before IS NULL OR "dateTime" - before > INTERVAL 10 SECOND)
--       OVER (PARTITION BY bidder ORDER BY "dateTime") AS sid FROM a)
--   SELECT bidder, count(*) AS bid_count, min("dateTime") AS starttime, max("dateTime") + INTERVAL 10 SECOND AS endtime
--   FROM b GROUP BY bidder, sid
CREATE TABLE bids (WATERMARK FOR dateTime AS dateTime)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/bids.parquet', 'history.path' = '${HISTORY}/bids');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT bidder, COUNT(*) AS bid_count, SESSION_START(dateTime, INTERVAL '10' SECOND) AS starttime,
  SESSION_END(dateTime, INTERVAL '10' SECOND) AS endtime
FROM bids GROUP BY bidder, SESSION(dateTime, INTERVAL '10' SECOND);
