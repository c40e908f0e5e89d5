-- One source twice in a UNION ALL: the same row comes by both branches, and the answer is the same in every cell.
-- duckdb: none (the rows of the branches share time, partition and offset)
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE VIEW v AS SELECT ts, seq * 2 AS id FROM events UNION ALL SELECT ts, seq * 2 + 1 AS id FROM events;

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start AS w, FIRST_VALUE(id) AS f, LAST_VALUE(id) AS l
FROM TABLE(TUMBLE(TABLE v, DESCRIPTOR(ts), INTERVAL '10' SECOND))
GROUP BY window_start, window_end;
