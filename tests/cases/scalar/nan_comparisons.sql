-- NaN is the largest double and equal to itself.
-- duckdb:
--   SELECT seq, nasty > 1e308 AS a, nasty = nasty AS b, nasty <= 0 AS c, nasty < 1 AS d
--   FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, nasty > 1e308 AS a, nasty = nasty AS b, nasty <= 0 AS c, nasty < 1 AS d
FROM events;
