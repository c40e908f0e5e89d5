-- Quotients of decimals, to at least six digits after the point.
-- duckdb: SELECT seq, d9::DOUBLE / 3 AS a, d9::DOUBLE / 0.7 AS b FROM events WHERE abs(d9) > 100
-- tolerance: a=1e-7 b=1e-7
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, d9 / 3 AS a, d9 / 0.7 AS b FROM events WHERE ABS(d9) > 100;
