-- Sums, products and signs of numbers.
-- duckdb:
--   SELECT seq, k + q AS a, q - 3 AS b, f64 * 2 AS c, f64 / 4 AS d, -f64 AS e, q * 1.5 AS f
--   FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, k + q AS a, q - 3 AS b, f64 * 2 AS c, f64 / 4 AS d, -f64 AS e, q * 1.5 AS f
FROM events;
