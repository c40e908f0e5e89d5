-- Stages that are equal, that differ in their calls, and that differ in their WHERE, over one view.
-- duckdb: SELECT tumble(ts, INTERVAL 10 SECOND) AS w, k, count(*) AS n, sum(q) AS s FROM events WHERE k > 1 GROUP BY ALL
-- duckdb same: SELECT tumble(ts, INTERVAL 10 SECOND) AS w, k, count(*) AS n, sum(q) AS s FROM events WHERE k > 1 GROUP BY ALL
-- duckdb more:
--   SELECT k, avg(q) AS a, max(seq) AS ma, tumble(ts, INTERVAL 10 SECOND) + INTERVAL 10 SECOND AS e,
--     arg_min(name, seq) AS f FROM events WHERE k > 1 GROUP BY k, tumble(ts, INTERVAL 10 SECOND)
-- duckdb other: SELECT tumble(ts, INTERVAL 10 SECOND) AS w, k, count(*) AS n FROM events WHERE k > 2 GROUP BY ALL
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE VIEW v AS SELECT ts, seq, name, k, q FROM events WHERE k > 1;

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start AS w, k, COUNT(*) AS n, SUM(q) AS s
FROM TABLE(TUMBLE(TABLE v, DESCRIPTOR(ts), INTERVAL '10' SECOND))
GROUP BY window_start, window_end, k;

CREATE TABLE same WITH ('connector' = 'filesystem', 'path' = '${OUT}/same.parquet') AS
SELECT window_start AS w, k, COUNT(*) AS n, SUM(q) AS s
FROM TABLE(TUMBLE(TABLE v, DESCRIPTOR(ts), INTERVAL '10' SECOND))
GROUP BY window_start, window_end, k;

CREATE TABLE more WITH ('connector' = 'filesystem', 'path' = '${OUT}/more.parquet') AS
SELECT k, AVG(q) AS a, MAX(seq) AS ma, window_end AS e, FIRST_VALUE(name) AS f
FROM TABLE(TUMBLE(TABLE v, DESCRIPTOR(ts), INTERVAL '10' SECOND))
GROUP BY k, window_end;

CREATE TABLE other WITH ('connector' = 'filesystem', 'path' = '${OUT}/other.parquet') AS
SELECT window_start AS w, k, COUNT(*) AS n
FROM TABLE(TUMBLE(TABLE v, DESCRIPTOR(ts), INTERVAL '10' SECOND))
WHERE k > 2
GROUP BY window_start, window_end, k;
