-- Cumulating days start at midnight of the zone.
-- duckdb:
--   WITH a AS (SELECT *, TIMESTAMP '2024-01-01' + to_milliseconds(seq * 12345678) AS t FROM events),
--     b AS (SELECT *, t + CASE WHEN t >= TIMESTAMP '2024-03-31 01:00:00' AND t < TIMESTAMP '2024-10-27 01:00:00'
--       THEN INTERVAL 2 HOUR ELSE INTERVAL 1 HOUR END AS clock FROM a),
--     c AS (SELECT *, date_trunc('day', clock) AS d FROM b),
--     w AS (SELECT q, d, d + to_hours(h) AS e FROM c, (SELECT unnest([6, 12, 18, 24]) AS h) WHERE clock < d + to_hours(h))
--   SELECT d - CASE WHEN d > TIMESTAMP '2024-03-31' AND d <= TIMESTAMP '2024-10-27' THEN INTERVAL 2 HOUR ELSE INTERVAL 1 HOUR END AS window_start,
--     e - CASE WHEN e > TIMESTAMP '2024-03-31' AND e <= TIMESTAMP '2024-10-27' THEN INTERVAL 2 HOUR ELSE INTERVAL 1 HOUR END AS window_end,
--     count(*) AS n, sum(q) AS q FROM w GROUP BY ALL
SET 'pelton.time-zone' = 'Europe/Vienna';
CREATE TABLE events (
  at AS TO_TIMESTAMP_LTZ(1704067200000 + seq * 12345678, 3),
  WATERMARK FOR at AS at - INTERVAL '1' HOUR
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, window_end, COUNT(*) AS n, SUM(q) AS q
FROM TABLE(CUMULATE(TABLE events, DESCRIPTOR(at), INTERVAL '6' HOUR, INTERVAL '1' DAY))
GROUP BY window_start, window_end;
