-- DATE_FORMAT with Flink's letters.
-- duckdb:
--   SELECT seq, strftime(ts, '%Y-%m-%d') AS d, strftime(ts, '%H:%M') AS m, strftime(ts, '%Y/%m/%d %H:%M:%S.%g') AS f,
--     strftime(ts_us, '%Y%m') AS y
--   FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, DATE_FORMAT(ts, 'yyyy-MM-dd') AS d, DATE_FORMAT(ts, 'HH:mm') AS m,
  DATE_FORMAT(ts, 'yyyy/MM/dd HH:mm:ss.SSS') AS f, DATE_FORMAT(ts_us, 'yyyyMM') AS y
FROM events;
