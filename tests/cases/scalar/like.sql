-- LIKE with %, _ and ESCAPE; NOT LIKE.
-- duckdb:
--   SELECT seq, txt LIKE 'user-1%' AS a, txt LIKE '%|v_ew|%' AS b, s NOT LIKE '%e%' AS c,
--     s || '%' LIKE '%e!%' ESCAPE '!' AS d
--   FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, txt LIKE 'user-1%' AS a, txt LIKE '%|v_ew|%' AS b, s NOT LIKE '%e%' AS c,
  s || '%' LIKE '%e!%' ESCAPE '!' AS d
FROM events;
