-- TO_TIMESTAMP_LTZ of seconds and milliseconds.
-- duckdb:
--   SELECT seq, make_timestamptz(seq * 1000000) AS a, make_timestamptz(seq * 1000) AS b
--   FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, TO_TIMESTAMP_LTZ(seq, 0) AS a, TO_TIMESTAMP_LTZ(seq, 3) AS b
FROM events;
