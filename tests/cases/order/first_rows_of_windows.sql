-- A LIMIT over rows that are in windows but not grouped: windows have not closed, so all rows are looked at.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 10 SECOND) AS window_start, seq, f64 FROM events_ooo
--   ORDER BY window_start, seq DESC LIMIT 40 OFFSET 5
-- ordered
CREATE TABLE events_ooo (WATERMARK FOR ts AS ts - INTERVAL '2' SECOND)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events_ooo.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, seq, f64 FROM TABLE(TUMBLE(TABLE events_ooo, DESCRIPTOR(ts), INTERVAL '10' SECOND))
ORDER BY window_start, seq DESC LIMIT 40 OFFSET 5;
