-- A table without watermark can be grouped too.
-- duckdb: SELECT name, AVG(unit) AS a FROM events GROUP BY name
CREATE TABLE events WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet',
  'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT name, AVG(unit) AS a FROM events GROUP BY name;
