-- Batches in which nearly every row has a key of its own: the workers share one state.
-- duckdb:
--   SELECT symbol, buyer, pos % 9000 AS place, count(*) AS n, sum(price) AS s, min(qty) AS lo, max(price) AS hi,
--     count(DISTINCT qty) AS d FROM ticks GROUP BY ALL
CREATE TABLE ticks (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/ticks_whole.parquet', 'history.path' = '${HISTORY}/ticks');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT symbol, buyer, MOD(pos, 9000) AS place, COUNT(*) AS n, SUM(price) AS s, MIN(qty) AS lo, MAX(price) AS hi,
  COUNT(DISTINCT qty) AS d
FROM TABLE(TUMBLE(TABLE ticks, DESCRIPTOR(ts), INTERVAL '1' HOUR))
GROUP BY window_start, window_end, symbol, buyer, MOD(pos, 9000);
