-- SINH, COSH, TANH, COT.
-- duckdb:
--   SELECT seq, SINH(unit) AS a, COSH(unit) AS b, TANH(unit) AS c, COT(unit) AS d
--   FROM events WHERE unit > 0.001
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, SINH(unit) AS a, COSH(unit) AS b, TANH(unit) AS c, COT(unit) AS d
FROM events
WHERE unit > 0.001;
