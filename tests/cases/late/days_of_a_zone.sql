-- A row is late for a day of a zone once the watermark has passed the last tick before its midnight.
-- duckdb:
--   WITH a AS (SELECT *, TIMESTAMP '2024-01-01' + to_milliseconds(seq * 12345678) AS t FROM events_late),
--     b AS (SELECT *, date_trunc('day', t + CASE WHEN t >= TIMESTAMP '2024-03-31 01:00:00' AND t < TIMESTAMP '2024-10-27 01:00:00'
--       THEN INTERVAL 2 HOUR ELSE INTERVAL 1 HOUR END) AS d FROM a),
--     c AS (SELECT *, d + INTERVAL 1 DAY - CASE WHEN d >= TIMESTAMP '2024-03-31' AND d < TIMESTAMP '2024-10-27'
--       THEN INTERVAL 2 HOUR ELSE INTERVAL 1 HOUR END AS e, max(t - INTERVAL 36 HOUR)
--       OVER (ORDER BY pos ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW) AS wm FROM b)
--   SELECT e AS window_end, count(*) AS n, sum(q) AS q FROM c WHERE e - INTERVAL 1 MILLISECOND > coalesce(wm, '-infinity') GROUP BY ALL
-- late:
--   WITH a AS (SELECT *, TIMESTAMP '2024-01-01' + to_milliseconds(seq * 12345678) AS t FROM events_late),
--     b AS (SELECT *, date_trunc('day', t + CASE WHEN t >= TIMESTAMP '2024-03-31 01:00:00' AND t < TIMESTAMP '2024-10-27 01:00:00'
--       THEN INTERVAL 2 HOUR ELSE INTERVAL 1 HOUR END) AS d FROM a),
--     c AS (SELECT *, d + INTERVAL 1 DAY - CASE WHEN d >= TIMESTAMP '2024-03-31' AND d < TIMESTAMP '2024-10-27'
--       THEN INTERVAL 2 HOUR ELSE INTERVAL 1 HOUR END AS e, max(t - INTERVAL 36 HOUR)
--       OVER (ORDER BY pos ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW) AS wm FROM b)
--   SELECT count(*) FROM c WHERE NOT e - INTERVAL 1 MILLISECOND > coalesce(wm, '-infinity')
-- dead letters:
--   WITH a AS (SELECT *, TIMESTAMP '2024-01-01' + to_milliseconds(seq * 12345678) AS t FROM events_late),
--     b AS (SELECT *, date_trunc('day', t + CASE WHEN t >= TIMESTAMP '2024-03-31 01:00:00' AND t < TIMESTAMP '2024-10-27 01:00:00'
--       THEN INTERVAL 2 HOUR ELSE INTERVAL 1 HOUR END) AS d FROM a),
--     c AS (SELECT *, d + INTERVAL 1 DAY - CASE WHEN d >= TIMESTAMP '2024-03-31' AND d < TIMESTAMP '2024-10-27'
--       THEN INTERVAL 2 HOUR ELSE INTERVAL 1 HOUR END AS e, max(t - INTERVAL 36 HOUR)
--       OVER (ORDER BY pos ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW) AS wm FROM b)
--   SELECT count(*) FROM c WHERE NOT e - INTERVAL 1 MILLISECOND > coalesce(wm, '-infinity')
SET 'pelton.time-zone' = 'Europe/Vienna';
CREATE TABLE events_late (
  t AS TO_TIMESTAMP_LTZ(1704067200000 + seq * 12345678, 3),
  WATERMARK FOR t AS t - INTERVAL '36' HOUR
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/events_late.parquet', 'history.path' = '${HISTORY}/events_late');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_end, COUNT(*) AS n, SUM(q) AS q
FROM TABLE(TUMBLE(TABLE events_late, DESCRIPTOR(t), INTERVAL '1' DAY)) GROUP BY window_start, window_end;
