-- SIMILAR TO takes the whole string.
-- duckdb:
--   SELECT seq, regexp_full_match(name, '(alder|birch|.*ar)') AS a
--   FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, name SIMILAR TO '(alder|birch|%ar)' AS a
FROM events;
