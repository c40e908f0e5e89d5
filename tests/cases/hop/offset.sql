-- A hop with an offset.
-- duckdb:
--   SELECT window_start + INTERVAL 1 SECOND AS window_start, count(*) AS n
--   FROM (SELECT unnest(hops(ts - INTERVAL 1 SECOND, INTERVAL 5 SECOND, INTERVAL 10 SECOND)) AS window_start FROM events)
--   GROUP BY ALL
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, COUNT(*) AS n
FROM TABLE(HOP(TABLE events, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '10' SECOND, INTERVAL '1' SECOND))
GROUP BY window_start, window_end;
