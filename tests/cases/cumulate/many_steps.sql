-- A hundred and twenty steps a window, rows out of order; and steps shorter than most gaps between rows.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 2 MINUTE) AS window_start, window_end, k, min(name) AS mi, max(f64) AS ma, count(DISTINCT q) AS d,
--     sum(money) AS s, arg_max(seq, (ts, pos)) AS l
--   FROM (SELECT *, unnest(steps(ts, INTERVAL 1 SECOND, INTERVAL 2 MINUTE)) AS window_end FROM events_ooo) GROUP BY ALL
-- duckdb short:
--   SELECT tumble(ts, INTERVAL 2 SECOND) AS window_start, window_end, max(q) AS ma, count(*) AS n
--   FROM (SELECT *, unnest(steps(ts, INTERVAL 100 MILLISECOND, INTERVAL 2 SECOND)) AS window_end FROM events_ooo) GROUP BY ALL
CREATE TABLE events_ooo (WATERMARK FOR ts AS ts - INTERVAL '2' SECOND)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events_ooo.parquet', 'history.path' = '${HISTORY}/events_ooo');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, window_end, k, MIN(name) AS mi, MAX(f64) AS ma, COUNT(DISTINCT q) AS d, SUM(money) AS s, LAST_VALUE(seq) AS l
FROM TABLE(CUMULATE(TABLE events_ooo, DESCRIPTOR(ts), INTERVAL '1' SECOND, INTERVAL '2' MINUTE))
GROUP BY window_start, window_end, k;

CREATE TABLE short WITH ('connector' = 'filesystem', 'path' = '${OUT}/short.parquet') AS
SELECT window_start, window_end, MAX(q) AS ma, COUNT(*) AS n
FROM TABLE(CUMULATE(TABLE events_ooo, DESCRIPTOR(ts), INTERVAL '0.1' SECOND, INTERVAL '2' SECOND))
GROUP BY window_start, window_end;
