-- Where clocks are put forward over the ends of two windows, there is one of them; a row each, counted by hand.
-- duckdb:
--   WITH a AS (SELECT *, TIMESTAMP '2024-01-01' + to_milliseconds(seq * 12345678) AS t FROM events),
--     b AS (SELECT *, t + CASE WHEN t >= TIMESTAMP '2024-03-31 01:00:00' AND t < TIMESTAMP '2024-10-27 01:00:00'
--       THEN INTERVAL 2 HOUR ELSE INTERVAL 1 HOUR END AS clock FROM a),
--     c AS (SELECT *, date_trunc('day', clock) AS d FROM b),
--     w AS (SELECT seq, q, d, d + to_hours(h) AS e FROM c, (SELECT unnest(range(1, 25)) AS h) WHERE clock < d + to_hours(h)),
--     u AS (SELECT DISTINCT seq, q,
--       d - CASE WHEN d > TIMESTAMP '2024-03-31' AND d <= TIMESTAMP '2024-10-27' THEN INTERVAL 2 HOUR ELSE INTERVAL 1 HOUR END AS a,
--       e - CASE WHEN e > TIMESTAMP '2024-03-31 02:00:00' AND e <= TIMESTAMP '2024-10-27 02:00:00' THEN INTERVAL 2 HOUR
--         ELSE INTERVAL 1 HOUR END AS e FROM w)
--   SELECT a AS window_start, e AS window_end, count(*) AS n, sum(q) AS q FROM u GROUP BY ALL
-- duckdb expanded:
--   WITH a AS (SELECT *, TIMESTAMP '2024-01-01' + to_milliseconds(seq * 12345678) AS t FROM events),
--     b AS (SELECT *, t + CASE WHEN t >= TIMESTAMP '2024-03-31 01:00:00' AND t < TIMESTAMP '2024-10-27 01:00:00'
--       THEN INTERVAL 2 HOUR ELSE INTERVAL 1 HOUR END AS clock FROM a),
--     c AS (SELECT *, date_trunc('day', clock) AS d FROM b),
--     w AS (SELECT seq, q, d, d + to_hours(h) AS e FROM c, (SELECT unnest(range(1, 25)) AS h) WHERE clock < d + to_hours(h)),
--     u AS (SELECT DISTINCT seq, q,
--       e - CASE WHEN e > TIMESTAMP '2024-03-31 02:00:00' AND e <= TIMESTAMP '2024-10-27 02:00:00' THEN INTERVAL 2 HOUR
--         ELSE INTERVAL 1 HOUR END AS e FROM w)
--   SELECT e AS window_end, count(*) AS n FROM u GROUP BY ALL
SET 'pelton.time-zone' = 'Europe/Vienna';
CREATE TABLE events (
  at AS TO_TIMESTAMP_LTZ(1704067200000 + seq * 12345678, 3),
  WATERMARK FOR at AS at - INTERVAL '1' HOUR
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start, window_end, COUNT(*) AS n, SUM(q) AS q
FROM TABLE(CUMULATE(TABLE events, DESCRIPTOR(at), INTERVAL '1' HOUR, INTERVAL '1' DAY))
GROUP BY window_start, window_end;

CREATE TABLE expanded WITH ('connector' = 'filesystem', 'path' = '${OUT}/expanded.parquet') AS
SELECT window_end, COUNT(*) AS n
FROM TABLE(CUMULATE(TABLE events, DESCRIPTOR(at), INTERVAL '1' HOUR, INTERVAL '1' DAY))
WHERE YEAR(window_end) > 0
GROUP BY window_end;
