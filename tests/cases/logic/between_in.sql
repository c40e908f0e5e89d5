-- BETWEEN, IN and NOT IN with NULL operands.
-- duckdb:
--   SELECT seq, k BETWEEN 2 AND 5 AS a, k NOT BETWEEN 2 AND 5 AS c, name IN ('elm', 'fir', '') AS d, k NOT IN (1, 2) AS e,
--     q IN (1, NULL) AS f FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, k BETWEEN 2 AND 5 AS a, k NOT BETWEEN 2 AND 5 AS c, name IN ('elm', 'fir', '') AS d, k NOT IN (1, 2) AS e,
  q IN (1, NULL) AS f
FROM events;
