-- Subqueries in FROM, with aliases.
-- duckdb:
--   SELECT t.seq, u FROM (SELECT seq, upper(name) AS u FROM (SELECT * FROM events WHERE b) i) t WHERE u IS NOT NULL
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT t.seq, t.u FROM (SELECT seq, UPPER(name) AS u FROM (SELECT * FROM events WHERE b) AS i) AS t
WHERE t.u IS NOT NULL;
