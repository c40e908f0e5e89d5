-- UNIX_TIMESTAMP and FROM_UNIXTIME, in UTC.
-- duckdb:
--   SELECT seq, epoch_us(date_trunc('second', ts)) // 1000000 AS a,
--     strftime(make_timestamp(seq * 86400000000), '%Y-%m-%d %H:%M:%S') AS b
--   FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, UNIX_TIMESTAMP(DATE_FORMAT(ts, 'yyyy-MM-dd HH:mm:ss')) AS a, FROM_UNIXTIME(seq * 86400) AS b
FROM events;
