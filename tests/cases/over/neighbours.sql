-- LAG, ROW_NUMBER, first and last values.
-- duckdb:
--   SELECT seq, row_number() OVER w AS rn, lag(name) OVER w AS before, lag(q, 3, -1) OVER w AS q3, first_value(d18) OVER r AS f,
--     last_value(money IGNORE NULLS) OVER r AS l, first_value(money IGNORE NULLS) OVER r AS g FROM events
--   WINDOW w AS (PARTITION BY k ORDER BY ts, pos),
--     r AS (PARTITION BY k ORDER BY ts, pos ROWS BETWEEN 4 PRECEDING AND CURRENT ROW)
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, ROW_NUMBER() OVER w AS rn, LAG(name) OVER w AS before, LAG(q, 3, -1) OVER w AS q3,
  FIRST_VALUE(d18) RESPECT NULLS OVER r AS f, LAST_VALUE(money) OVER r AS l, FIRST_VALUE(money) OVER r AS g
FROM events
WINDOW w AS (PARTITION BY k ORDER BY ts),
  r AS (PARTITION BY k ORDER BY ts ROWS BETWEEN 4 PRECEDING AND CURRENT ROW);
