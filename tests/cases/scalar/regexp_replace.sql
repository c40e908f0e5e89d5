-- REGEXP_REPLACE replaces every match.
-- duckdb:
--   SELECT seq, regexp_replace(txt, '[aeiou]', '_', 'g') AS a
--   FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, REGEXP_REPLACE(txt, '[aeiou]', '_') AS a
FROM events;
