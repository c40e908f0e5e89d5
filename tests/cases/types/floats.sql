-- Floats, with NaN, infinities, subnormal and huge values.
-- duckdb: SELECT seq, f32, f64, money, nasty FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, f32, f64, money, nasty FROM events;
