-- Lateness of a computed event time, in microseconds.
-- duckdb:
--   WITH r AS (SELECT *, max(t) OVER (ORDER BY pos ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW) AS wm
--     FROM (SELECT pos, k, v, ts + to_seconds(abs(v) // 10) AS t FROM old))
--   SELECT tumble(t, INTERVAL 2 SECOND) AS w, count(*) AS n, sum(v) AS s FROM r
--   WHERE tumble(t, INTERVAL 2 SECOND) + INTERVAL 2 SECOND - INTERVAL 1 MICROSECOND > coalesce(wm, '-infinity')
--   GROUP BY ALL
-- late:
--   WITH r AS (SELECT *, max(t) OVER (ORDER BY pos ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW) AS wm
--     FROM (SELECT pos, ts + to_seconds(abs(v) // 10) AS t FROM old))
--   SELECT count(*) FROM r WHERE tumble(t, INTERVAL 2 SECOND) + INTERVAL 2 SECOND - INTERVAL 1 MICROSECOND <= wm
CREATE TABLE old (
  pos BIGINT,
  ts TIMESTAMP(6),
  v BIGINT,
  t AS TIMESTAMPADD(SECOND, ABS(v) / 10, ts),
  WATERMARK FOR t AS t
)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/old.parquet', 'history.path' = '${HISTORY}/old');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start AS w, COUNT(*) AS n, SUM(v) AS s
FROM TABLE(TUMBLE(TABLE old, DESCRIPTOR(t), INTERVAL '2' SECOND))
GROUP BY window_start, window_end;
