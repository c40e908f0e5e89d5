-- Unsigned integers of all widths.
-- duckdb: SELECT seq, u8, u16, u32, u64 FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, u8, u16, u32, u64 FROM events;
