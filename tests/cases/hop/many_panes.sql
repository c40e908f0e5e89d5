-- Sixty panes a window, aggregates that can not be taken out again.
-- duckdb:
--   SELECT window_start, window_start + INTERVAL 60 SECOND AS window_end, b, min(name) AS mi, max(f64) AS ma, max(ts_us) AS mt,
--     count(DISTINCT k) AS dk, count(DISTINCT name) AS dn, sum(money) AS s, var_pop(q) AS v, bool_or(b) AS bo,
--     arg_min(seq, seq) AS f, arg_max(seq, seq) AS l
--   FROM (SELECT *, unnest(hops(ts, INTERVAL 1 SECOND, INTERVAL 60 SECOND)) AS window_start FROM events) GROUP BY ALL
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, window_end, b, MIN(name) AS mi, MAX(f64) AS ma, MAX(ts_us) AS mt, COUNT(DISTINCT k) AS dk,
  COUNT(DISTINCT name) AS dn, SUM(money) AS s, VAR_POP(q) AS v, BOOL_OR(b) AS bo, FIRST_VALUE(seq) AS f, LAST_VALUE(seq) AS l
FROM TABLE(HOP(TABLE events, DESCRIPTOR(ts), INTERVAL '1' SECOND, INTERVAL '60' SECOND))
GROUP BY window_start, window_end, b;
