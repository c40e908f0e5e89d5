-- Expressions as keys.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 100 SECOND) AS window_start, q % 5 AS m, upper(name) AS u, k IS NULL AS z, count(*) AS n
--   FROM events GROUP BY ALL
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, q % 5 AS m, UPPER(name) AS u, k IS NULL AS z, COUNT(*) AS n
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '100' SECOND))
GROUP BY window_start, window_end, q % 5, UPPER(name), k IS NULL;
