-- By event time, not by arrival; rows of one time by their offset.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 5 SECOND) AS window_start, k, first(seq ORDER BY ts, pos) AS f,
--     last(seq ORDER BY ts, pos) AS l, last(pos ORDER BY ts, pos) AS p
--   FROM events_ooo GROUP BY ALL
CREATE TABLE events_ooo (WATERMARK FOR ts AS ts - INTERVAL '2' SECOND)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events_ooo.parquet', 'history.path' = '${HISTORY}/events_ooo');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, k, FIRST_VALUE(seq) AS f, LAST_VALUE(seq) AS l, LAST_VALUE(pos) AS p
FROM TABLE(TUMBLE(TABLE events_ooo, DESCRIPTOR(ts), INTERVAL '5' SECOND))
GROUP BY window_start, window_end, k;
