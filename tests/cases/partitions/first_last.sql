-- FIRST_VALUE and LAST_VALUE: by time, then partition, then offset.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 5 SECOND) AS w, first(seq ORDER BY ts, part, pos) AS f,
--     last(seq ORDER BY ts, part, pos) AS l FROM parts GROUP BY 1
CREATE TABLE parts (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/parts', 'scan.partitions' = 'file',
  'history.path' = '${HISTORY}/parts');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start AS w, FIRST_VALUE(seq) AS f, LAST_VALUE(seq) AS l
FROM TABLE(TUMBLE(TABLE parts, DESCRIPTOR(ts), INTERVAL '5' SECOND))
GROUP BY window_start, window_end;
