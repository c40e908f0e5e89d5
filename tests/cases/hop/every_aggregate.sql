-- Panes merge: all kinds of aggregates over overlapping windows.
-- duckdb:
--   SELECT window_start, window_start + INTERVAL 40 SECOND AS window_end, count(k) AS c, sum(f64) AS s,
--     avg(d9)::DOUBLE AS a, min(name) AS mi, max(ts_us) AS ma, var_pop(money) AS v, stddev_samp(q) AS sd,
--     bool_and(b) AS ba, bool_or(b) AS bo, count(DISTINCT name) AS dn, arg_min(seq, seq) AS f, arg_max(seq, seq) AS l
--   FROM (SELECT *, unnest(hops(ts, INTERVAL 10 SECOND, INTERVAL 40 SECOND)) AS window_start FROM events) GROUP BY ALL
-- tolerance: a=1e-6
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, window_end, COUNT(k) AS c, SUM(f64) AS s, AVG(d9) AS a, MIN(name) AS mi, MAX(ts_us) AS ma,
  VAR_POP(money) AS v, STDDEV_SAMP(q) AS sd, BOOL_AND(b) AS ba, BOOL_OR(b) AS bo, COUNT(DISTINCT name) AS dn,
  FIRST_VALUE(seq) AS f, LAST_VALUE(seq) AS l
FROM TABLE(HOP(TABLE events, DESCRIPTOR(ts), INTERVAL '10' SECOND, INTERVAL '40' SECOND))
GROUP BY window_start, window_end;
