-- FILTER, expressions as arguments and keys, and answers in expressions.
-- duckdb:
--   SELECT seq, count(*) FILTER (WHERE q > 0) OVER w AS up, sum(q * 2) FILTER (WHERE b) OVER w AS s,
--     CASE WHEN sum(q) OVER w > 0 THEN q * 1.0e0 / sum(q) OVER w END AS share FROM events WHERE q <> 3
--   WINDOW w AS (PARTITION BY upper(name) ORDER BY ts RANGE BETWEEN INTERVAL 15 SECOND PRECEDING AND CURRENT ROW)
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, COUNT(*) FILTER (WHERE q > 0) OVER w AS up, SUM(q * 2) FILTER (WHERE b) OVER w AS s,
  CASE WHEN SUM(q) OVER w > 0 THEN q * 1.0e0 / SUM(q) OVER w END AS share
FROM events WHERE q <> 3
WINDOW w AS (PARTITION BY UPPER(name) ORDER BY ts RANGE BETWEEN INTERVAL '15' SECOND PRECEDING AND CURRENT ROW);
