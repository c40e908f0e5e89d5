-- UNION ALL of two sources below a window: the watermark is the lower of theirs.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 10 SECOND) AS w, what, count(*) AS n
--   FROM (SELECT ts, 'event' AS what FROM events UNION ALL SELECT ts, 'payment' FROM payments) GROUP BY ALL
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');
CREATE TABLE payments (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/payments.parquet', 'history.path' = '${HISTORY}/payments');

CREATE VIEW everything AS SELECT ts, 'event' AS what FROM events UNION ALL SELECT ts, 'payment' AS what FROM payments;

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start AS w, what, COUNT(*) AS n
FROM TABLE(TUMBLE(TABLE everything, DESCRIPTOR(ts), INTERVAL '10' SECOND))
GROUP BY window_start, window_end, what;
