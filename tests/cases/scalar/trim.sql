-- TRIM on both sides, one side, and of given letters.
-- duckdb:
--   SELECT seq, TRIM('  ' || s || ' ') AS t, LTRIM('  ' || s) AS l, RTRIM(s || '  ') AS r
--   FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, TRIM('  ' || s || ' ') AS t, LTRIM('  ' || s) AS l, RTRIM(s || '  ') AS r
FROM events;
