-- Sums that can be taken out of a window again, until one is infinite.
-- duckdb:
--   SELECT window_start, window_start + INTERVAL 30 SECOND AS window_end, k, count(*) AS n,
--     sum(CASE WHEN seq % 500 = 490 THEN (seq + 1) * 1e308 * 10 ELSE money END) AS s
--   FROM (SELECT *, unnest(hops(ts, INTERVAL 1 SECOND, INTERVAL 30 SECOND)) AS window_start FROM events) GROUP BY ALL
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, window_end, k, COUNT(*) AS n,
  SUM(CASE WHEN MOD(seq, 500) = 490 THEN (seq + 1) * 1e308 * 10 ELSE money END) AS s
FROM TABLE(HOP(TABLE events, DESCRIPTOR(ts), INTERVAL '1' SECOND, INTERVAL '30' SECOND))
GROUP BY window_start, window_end, k;
