-- UNION ALL of a partitioned and a plain source below a window.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 10 SECOND) AS w, src, count(*) AS n
--   FROM (SELECT ts, 1 AS src FROM parts UNION ALL SELECT ts, 2 FROM payments) GROUP BY ALL
CREATE TABLE parts (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/parts', 'scan.partitions' = 'file',
  'history.path' = '${HISTORY}/parts');
CREATE TABLE payments (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/payments.parquet', 'history.path' = '${HISTORY}/payments');

CREATE VIEW both_of_them AS SELECT ts, 1 AS src FROM parts UNION ALL SELECT ts, 2 AS src FROM payments;

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start AS w, src, COUNT(*) AS n
FROM TABLE(TUMBLE(TABLE both_of_them, DESCRIPTOR(ts), INTERVAL '10' SECOND))
GROUP BY window_start, window_end, src;
