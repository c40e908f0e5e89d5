-- Decimals against decimals, integers and literals.
-- duckdb: SELECT seq, d9, d18 FROM events WHERE d9 > 1234.56 AND d18 < 0 OR d9 = 0
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, d9, d18 FROM events WHERE d9 > 1234.56 AND d18 < 0 OR d9 = 0;
