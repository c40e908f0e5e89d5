-- Hops around the epoch.
-- duckdb:
--   SELECT k, window_start, window_start + INTERVAL 9 SECOND AS window_end, count(*) AS n, sum(v) AS s
--   FROM (SELECT *, unnest(hops(ts, INTERVAL 3 SECOND, INTERVAL 9 SECOND)) AS window_start FROM old) GROUP BY ALL
CREATE TABLE old (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/old.parquet', 'history.path' = '${HISTORY}/old');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT k, window_start, window_end, COUNT(*) AS n, SUM(v) AS s
FROM TABLE(HOP(TABLE old, DESCRIPTOR(ts), INTERVAL '3' SECOND, INTERVAL '9' SECOND))
GROUP BY k, window_start, window_end;
