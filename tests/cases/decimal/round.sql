-- ROUND, CEIL, FLOOR and ABS of decimals.
-- duckdb:
--   SELECT seq, round(d18, 1)::DOUBLE AS a, ceil(d9)::DOUBLE AS b, floor(d9)::DOUBLE AS c, abs(d18) AS d FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, CAST(ROUND(d18, 1) AS DOUBLE) AS a, CAST(CEIL(d9) AS DOUBLE) AS b, CAST(FLOOR(d9) AS DOUBLE) AS c,
  ABS(d18) AS d FROM events;
