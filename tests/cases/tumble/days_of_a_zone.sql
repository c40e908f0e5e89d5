-- Days of a zone with summer time: one has 23 hours, one has 25.
-- duckdb:
--   WITH a AS (SELECT *, TIMESTAMP '2024-01-01' + to_milliseconds(seq * 12345678) AS t FROM events),
--     b AS (SELECT *, t + CASE WHEN t >= TIMESTAMP '2024-03-31 01:00:00' AND t < TIMESTAMP '2024-10-27 01:00:00'
--       THEN INTERVAL 2 HOUR ELSE INTERVAL 1 HOUR END AS clock FROM a),
--     c AS (SELECT *, date_trunc('day', clock) AS d FROM b),
--     w AS (SELECT DISTINCT d, d + INTERVAL 1 DAY AS e FROM c),
--     u AS (SELECT d,
--       d - CASE WHEN d > TIMESTAMP '2024-03-31' AND d <= TIMESTAMP '2024-10-27' THEN INTERVAL 2 HOUR ELSE INTERVAL 1 HOUR END AS a,
--       e - CASE WHEN e > TIMESTAMP '2024-03-31' AND e <= TIMESTAMP '2024-10-27' THEN INTERVAL 2 HOUR ELSE INTERVAL 1 HOUR END AS e
--       FROM w)
--   SELECT a AS window_start, e AS window_end, epoch_us(e - a) // 3600000000 AS hours, count(*) AS n, sum(q) AS q
--   FROM c JOIN u USING (d) GROUP BY ALL
SET 'pelton.time-zone' = 'Europe/Vienna';
CREATE TABLE events (
  at AS TO_TIMESTAMP_LTZ(1704067200000 + seq * 12345678, 3),
  WATERMARK FOR at AS at - INTERVAL '1' HOUR
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, window_end, (EXTRACT(EPOCH FROM window_end) - EXTRACT(EPOCH FROM window_start)) / 3600 AS hours, COUNT(*) AS n, SUM(q) AS q
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(at), INTERVAL '1' DAY))
GROUP BY window_start, window_end;
