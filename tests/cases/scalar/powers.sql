-- SQRT, POWER, EXP, LN, LOG10, LOG2, LOG(base, x).
-- duckdb:
--   SELECT seq, sqrt(unit) AS a, power(unit, 3) AS b, exp(unit) AS c, ln(unit) AS d, log10(unit) AS e, log2(unit) AS f,
--     ln(unit) / ln(7) AS g
--   FROM events WHERE unit > 0
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, SQRT(unit) AS a, POWER(unit, 3) AS b, EXP(unit) AS c, LN(unit) AS d, LOG10(unit) AS e, LOG2(unit) AS f,
  LOG(7, unit) AS g
FROM events
WHERE unit > 0;
