-- TIMESTAMPADD and TIMESTAMPDIFF (whole units).
-- duckdb:
--   SELECT seq, ts + INTERVAL 5 MINUTE AS a, ts - INTERVAL 3 HOUR AS b,
--     trunc((epoch_us(ts) - epoch_us(ts_us)) / 1e6)::BIGINT AS c,
--     (epoch_us(ts) - epoch_us(TIMESTAMP '2024-03-09')) // 3600000000 AS d
--   FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, TIMESTAMPADD(MINUTE, 5, ts) AS a, TIMESTAMPADD(HOUR, -3, ts) AS b, TIMESTAMPDIFF(SECOND, ts_us, ts) AS c,
  TIMESTAMPDIFF(HOUR, TIMESTAMP '2024-03-09 00:00:00', ts) AS d
FROM events;
