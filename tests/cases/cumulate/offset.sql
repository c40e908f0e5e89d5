-- CUMULATE with an offset.
-- duckdb:
--   SELECT tumble(t, INTERVAL 1 MINUTE) + INTERVAL 5 SECOND AS window_start, e + INTERVAL 5 SECOND AS window_end,
--     count(*) AS n
--   FROM (SELECT ts - INTERVAL 5 SECOND AS t, unnest(steps(t, INTERVAL 20 SECOND, INTERVAL 1 MINUTE)) AS e FROM events)
--   GROUP BY ALL
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, window_end, COUNT(*) AS n
FROM TABLE(CUMULATE(TABLE events, DESCRIPTOR(ts), INTERVAL '20' SECOND, INTERVAL '1' MINUTE, INTERVAL '5' SECOND))
GROUP BY window_start, window_end;
