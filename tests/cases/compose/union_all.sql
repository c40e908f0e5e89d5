-- UNION ALL of one source with itself, filtered in two ways.
-- duckdb: SELECT seq, 'pos' AS sign FROM events WHERE q > 5 UNION ALL SELECT seq, 'neg' FROM events WHERE q < 10
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, 'pos' AS sign FROM events WHERE q > 5
UNION ALL
SELECT seq, 'neg' FROM events WHERE q < 10;
