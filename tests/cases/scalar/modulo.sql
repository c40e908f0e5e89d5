-- MOD and % take the sign of the dividend.
-- duckdb:
--   SELECT seq, q % 7 AS a, q % -7 AS b, seq % 123 AS c, f64 % 3 AS d
--   FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, MOD(q, 7) AS a, q % -7 AS b, MOD(seq, 123) AS c, f64 % 3 AS d
FROM events;
