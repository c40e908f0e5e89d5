-- Dates, times and timestamps against literals.
-- duckdb:
--   SELECT seq, ts, tod_us FROM events WHERE day >= DATE '1990-01-01' AND tod_us < TIME '12:00:00'
--     AND ts >= TIMESTAMP '2024-03-10 00:02:00'
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, ts, tod_us FROM events WHERE `day` >= DATE '1990-01-01' AND tod_us < TIME '12:00:00'
  AND ts >= TIMESTAMP '2024-03-10 00:02:00';
