-- Casts between number types: doubles are cut, decimals are rounded.
-- duckdb:
--   SELECT seq, trunc(f64)::BIGINT AS a, k::DOUBLE AS c, q::SMALLINT AS d, d9::DOUBLE AS e, d18::DECIMAL(20, 1) AS f,
--     k::DECIMAL(10, 2) AS g, b::INT AS h FROM events
-- types: a=int64 d=int16 h=int32
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, CAST(f64 AS BIGINT) AS a, CAST(k AS DOUBLE) AS c, CAST(q AS SMALLINT) AS d, CAST(d9 AS DOUBLE) AS e,
  CAST(d18 AS DECIMAL(20, 1)) AS f, CAST(k AS DECIMAL(10, 2)) AS g, CAST(b AS INT) AS h
FROM events;
