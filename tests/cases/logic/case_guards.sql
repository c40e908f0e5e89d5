-- A branch that would fail is not evaluated where its condition is false: no dead letters.
-- duckdb:
--   SELECT seq, CASE WHEN q = 0 THEN -1 ELSE trunc(1000 / q)::INT END AS a, CASE WHEN q <> 0
--     AND trunc(100 / q) > 7 THEN 'big' ELSE 'small' END AS c FROM events
-- dead letters: SELECT count(*) FROM events WHERE FALSE
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, CASE WHEN q = 0 THEN -1 ELSE 1000 / q END AS a,
  CASE WHEN q <> 0 AND 100 / q > 7 THEN 'big' ELSE 'small' END AS c
FROM events;
