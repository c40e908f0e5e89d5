-- A column twice under two names, next to literals of several types.
-- duckdb:
--   SELECT seq AS a, seq AS b, 1 AS one, 'x' AS x, 2.5 AS d, NULL::INT AS n, TRUE AS t, DATE '2024-02-29' AS leap
--   FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq AS a, seq AS b, 1 AS one, 'x' AS x, 2.5 AS d, CAST(NULL AS INT) AS n, TRUE AS t, DATE '2024-02-29' AS leap
FROM events;
