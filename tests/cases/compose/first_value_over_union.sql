-- FIRST_VALUE over two sources: by time, then source, partition and offset.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 10 SECOND) AS w, first(id ORDER BY ts, src, pos) AS f, last(id ORDER BY ts, src, pos) AS l
--   FROM (SELECT ts, pos, 1 AS src, seq AS id FROM events UNION ALL SELECT ts, pos, 2, -1 - pos FROM payments) GROUP BY 1
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');
CREATE TABLE payments (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/payments.parquet', 'history.path' = '${HISTORY}/payments');

CREATE VIEW v AS SELECT ts, seq AS id FROM events UNION ALL SELECT ts, -1 - pos AS id FROM payments;

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start AS w, FIRST_VALUE(id) AS f, LAST_VALUE(id) AS l
FROM TABLE(TUMBLE(TABLE v, DESCRIPTOR(ts), INTERVAL '10' SECOND))
GROUP BY window_start, window_end;
