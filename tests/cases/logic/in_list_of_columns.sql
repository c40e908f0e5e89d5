-- IN and NOT IN over lists that the row's own columns make, with NULLs.
-- duckdb:
--   SELECT seq, k + 0 IN (CASE WHEN q > 2 THEN 1 ELSE k END, 5) AS a, k + 0 NOT IN (5, NULLIF(q, 7)) AS b,
--     name IN (UPPER(name), 'elm') AS c FROM events WHERE k IN (1, q, 5, seq % 7)
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, k + 0 IN (CASE WHEN q > 2 THEN 1 ELSE k END, 5) AS a, k + 0 NOT IN (5, NULLIF(q, 7)) AS b,
  name IN (UPPER(name), 'elm') AS c
FROM events WHERE k IN (1, q, 5, seq % 7);
