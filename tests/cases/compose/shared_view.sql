-- One view feeds two sinks.
-- duckdb: SELECT tumble(ts, INTERVAL 10 SECOND) AS w, count(*) AS n FROM events WHERE k > 1 GROUP BY ALL
-- duckdb raw: SELECT seq, k FROM events WHERE k > 5
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE VIEW v AS SELECT ts, seq, k FROM events WHERE k > 1;

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start AS w, COUNT(*) AS n
FROM TABLE(TUMBLE(TABLE v, DESCRIPTOR(ts), INTERVAL '10' SECOND))
GROUP BY window_start, window_end;

CREATE TABLE raw WITH ('connector' = 'filesystem', 'path' = '${OUT}/raw.parquet') AS
SELECT seq, k FROM v WHERE k > 5;
