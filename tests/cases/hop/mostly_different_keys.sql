-- Panes that the workers share, merged into windows that slide over them.
-- duckdb:
--   SELECT s AS window_start, buyer, qty, count(*) AS n, sum(price) AS total
--   FROM (SELECT *, unnest(hops(ts, INTERVAL 10 MINUTE, INTERVAL 30 MINUTE)) AS s FROM ticks) GROUP BY ALL
CREATE TABLE ticks (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/ticks_whole.parquet', 'history.path' = '${HISTORY}/ticks');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, buyer, qty, COUNT(*) AS n, SUM(price) AS total
FROM TABLE(HOP(TABLE ticks, DESCRIPTOR(ts), INTERVAL '10' MINUTE, INTERVAL '30' MINUTE))
GROUP BY window_start, window_end, buyer, qty;
