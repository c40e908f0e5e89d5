-- POSITION, LOCATE and INSTR count from 1; 0 is not found.
-- duckdb:
--   SELECT seq, strpos(txt, '|') AS p, strpos(txt, 'edit') AS l, strpos(txt, 'ex') AS i
--   FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, POSITION('|' IN txt) AS p, LOCATE('edit', txt) AS l, INSTR(txt, 'ex') AS i
FROM events;
