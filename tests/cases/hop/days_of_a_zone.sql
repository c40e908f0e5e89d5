-- Hopping days of a zone, read row by row and grouped by hand.
-- duckdb:
--   WITH a AS (SELECT *, TIMESTAMP '2024-01-01' + to_milliseconds(seq * 12345678) AS t FROM events),
--     b AS (SELECT *, t + CASE WHEN t >= TIMESTAMP '2024-03-31 01:00:00' AND t < TIMESTAMP '2024-10-27 01:00:00'
--       THEN INTERVAL 2 HOUR ELSE INTERVAL 1 HOUR END AS clock FROM a),
--     w AS (SELECT q, unnest(hops(clock, INTERVAL 12 HOUR, INTERVAL 1 DAY)) AS d FROM b),
--     x AS (SELECT q, d, d + INTERVAL 1 DAY AS e FROM w)
--   SELECT d - CASE WHEN d > TIMESTAMP '2024-03-31' AND d <= TIMESTAMP '2024-10-27' THEN INTERVAL 2 HOUR ELSE INTERVAL 1 HOUR END AS window_start,
--     e - CASE WHEN e > TIMESTAMP '2024-03-31' AND e <= TIMESTAMP '2024-10-27' THEN INTERVAL 2 HOUR ELSE INTERVAL 1 HOUR END AS window_end,
--     count(*) AS n, sum(q) AS q FROM x WHERE extract('year' FROM e) > 0 GROUP BY ALL
SET 'pelton.time-zone' = 'Europe/Vienna';
CREATE TABLE events (
  at AS TO_TIMESTAMP_LTZ(1704067200000 + seq * 12345678, 3),
  WATERMARK FOR at AS at - INTERVAL '1' HOUR
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, window_end, COUNT(*) AS n, SUM(q) AS q
FROM TABLE(HOP(TABLE events, DESCRIPTOR(at), INTERVAL '12' HOUR, INTERVAL '1' DAY))
WHERE YEAR(window_end) > 0
GROUP BY window_start, window_end;
