-- Variances, sketches and sums of different values of sliding frames.
-- duckdb:
--   SELECT seq, stddev_samp(money) OVER w AS sd, var_pop(q) OVER w AS v, sum(DISTINCT q) OVER w AS sq, bool_and(b) OVER w AS ba,
--     bool_or(b) OVER w AS bo FROM events
--   WINDOW w AS (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL 20 SECOND PRECEDING AND CURRENT ROW)
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, STDDEV_SAMP(money) OVER w AS sd, VAR_POP(q) OVER w AS v, SUM(DISTINCT q) OVER w AS sq, BOOL_AND(b) OVER w AS ba,
  BOOL_OR(b) OVER w AS bo
FROM events
WINDOW w AS (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL '20' SECOND PRECEDING AND CURRENT ROW);
