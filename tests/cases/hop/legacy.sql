-- HOP as a GROUP BY function.
-- duckdb:
--   SELECT name, window_start, window_start + INTERVAL 12 SECOND AS window_end, count(*) AS n
--   FROM (SELECT *, unnest(hops(ts, INTERVAL 4 SECOND, INTERVAL 12 SECOND)) AS window_start FROM events) GROUP BY ALL
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT name, HOP_START(ts, INTERVAL '4' SECOND, INTERVAL '12' SECOND) AS window_start,
  HOP_END(ts, INTERVAL '4' SECOND, INTERVAL '12' SECOND) AS window_end, COUNT(*) AS n
FROM events GROUP BY name, HOP(ts, INTERVAL '4' SECOND, INTERVAL '12' SECOND);
