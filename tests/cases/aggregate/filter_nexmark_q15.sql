-- Counts of ranges, as Nexmark q15 and q17.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 300 SECOND) AS window_start, symbol, count(*) AS n, count(*) FILTER (WHERE qty < 100) AS a,
--     count(*) FILTER (WHERE qty >= 100 AND qty < 300) AS b, count(*) FILTER (WHERE qty >= 300) AS c,
--     count(DISTINCT buyer) FILTER (WHERE price > 100) AS d
--   FROM ticks GROUP BY ALL
CREATE TABLE ticks (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/ticks.parquet', 'history.path' = '${HISTORY}/ticks');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, symbol, COUNT(*) AS n, COUNT(*) FILTER (WHERE qty < 100) AS a,
  COUNT(*) FILTER (WHERE qty >= 100 AND qty < 300) AS b,
  COUNT(*) FILTER (WHERE qty >= 300) AS c, COUNT(DISTINCT buyer) FILTER (WHERE price > 100) AS d
FROM TABLE(TUMBLE(TABLE ticks, DESCRIPTOR(ts), INTERVAL '300' SECOND))
GROUP BY window_start, window_end, symbol;
