-- Sums of decimals are exact, at 9, 18 and 38 digits.
-- duckdb:
--   SELECT k, sum(d9) AS a, sum(d18) AS b, sum(d38) AS c, sum(d9 * 2) AS d, count(d38) AS n FROM events GROUP BY k
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT k, SUM(d9) AS a, SUM(d18) AS b, SUM(d38) AS c, SUM(d9 * 2) AS d, COUNT(d38) AS n FROM events GROUP BY k;
