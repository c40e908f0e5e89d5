-- An event time with zone.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 1 MINUTE) AS w, count(*) AS n, sum(price) AS s
--   FROM (SELECT "dateTime" AS ts, price FROM bids) GROUP BY ALL
CREATE TABLE bids (
  price BIGINT,
  dateTime TIMESTAMP(3),
  ts AS CAST(dateTime AS TIMESTAMP_LTZ(3)),
  WATERMARK FOR ts AS ts
)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/bids.parquet', 'history.path' = '${HISTORY}/bids');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start AS w, COUNT(*) AS n, SUM(price) AS s
FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '1' MINUTE))
GROUP BY window_start, window_end;
