-- Aggregates of typed NULLs and of constants.
-- duckdb:
--   SELECT sum(NULL::INT) AS a, count(NULL) AS b, max(NULL::VARCHAR) AS c, sum(1) AS d, min('x') AS e FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT SUM(CAST(NULL AS INT)) AS a, COUNT(NULL) AS b, MAX(CAST(NULL AS STRING)) AS c, SUM(1) AS d, MIN('x') AS e
FROM events;
