-- Numbers, dates and booleans to strings and back.
-- duckdb:
--   SELECT seq, k::VARCHAR AS a, d9::VARCHAR AS c, day::VARCHAR AS d, q::VARCHAR::INT AS e,
--     d9::VARCHAR::DECIMAL(9, 2) AS f, day::VARCHAR::DATE AS g, '2.50'::DOUBLE AS h FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, CAST(k AS STRING) AS a, CAST(d9 AS VARCHAR) AS c, CAST(`day` AS STRING) AS d,
  CAST(CAST(q AS STRING) AS INT) AS e,
  CAST(CAST(d9 AS STRING) AS DECIMAL(9, 2)) AS f, CAST(CAST(`day` AS STRING) AS DATE) AS g,
    CAST('2.50' AS DOUBLE) AS h
FROM events;
