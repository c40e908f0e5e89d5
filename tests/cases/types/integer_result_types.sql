-- int / int is int, int * bigint is bigint, literals stay small.
-- duckdb: SELECT seq, q // 3 AS a, q * seq AS b, q % 7 AS c, -q AS d, q + 1 AS e FROM events WHERE q >= 0
-- types: b=int64
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, q / 3 AS a, q * seq AS b, q % 7 AS c, -q AS d, q + 1 AS e FROM events WHERE q >= 0;
