-- A model that learns: labels are known five seconds later, rows come out of order; DuckDB goes through the labels one by one.
-- duckdb:
--   WITH RECURSIVE l AS (
--     SELECT row_number() OVER (ORDER BY ts, pos) AS n, ts + INTERVAL 5 SECOND AS known, q::DOUBLE AS a, f64 AS b,
--       (unit < 0.5 + q * 0.02)::INT::DOUBLE AS y
--     FROM events WHERE k IN (2, 3)),
--   s AS (
--     SELECT 0::BIGINT AS n, 0::DOUBLE AS w1, 0::DOUBLE AS w2, 0::DOUBLE AS bias,
--       0::DOUBLE AS n1, 0::DOUBLE AS m1, 0::DOUBLE AS s1, 0::DOUBLE AS n2, 0::DOUBLE AS m2, 0::DOUBLE AS s2
--     UNION ALL
--     SELECT n, w1 - 0.05::DOUBLE * (g * z1 + 0.001::DOUBLE * w1), w2 - 0.05::DOUBLE * (g * z2 + 0.001::DOUBLE * w2),
--       bias - 0.05::DOUBLE * g, n1, m1, s1, n2, m2, s2
--     FROM (SELECT *, 1 / (1 + exp(-(bias + w1 * z1 + w2 * z2))) - y AS g
--       FROM (SELECT *, CASE WHEN s1 > 0 THEN (a - m1) / sqrt(s1 / n1) ELSE 0 END AS z1,
--           CASE WHEN b IS NOT NULL AND s2 > 0 THEN (b - m2) / sqrt(s2 / n2) ELSE 0 END AS z2
--         FROM (SELECT l.n, a, b, y, w1, w2, bias, n1 + 1 AS n1, m1 + (a - m1) / (n1 + 1) AS m1,
--             s1 + (a - m1) * (a - (m1 + (a - m1) / (n1 + 1))) AS s1,
--             CASE WHEN b IS NULL THEN n2 ELSE n2 + 1 END AS n2, CASE WHEN b IS NULL THEN m2 ELSE m2 + (b - m2) / (n2 + 1) END AS m2,
--             CASE WHEN b IS NULL THEN s2 ELSE s2 + (b - m2) * (b - (m2 + (b - m2) / (n2 + 1))) END AS s2
--           FROM s JOIN l ON l.n = s.n + 1)))),
--   r AS (SELECT seq, q, f64, (SELECT count(*) FROM l WHERE l.known < e.ts) AS n FROM events_ooo e),
--   m AS (SELECT seq, n, bias + w1 * CASE WHEN s1 > 0 THEN (q - m1) / sqrt(s1 / n1) ELSE 0 END
--     + w2 * CASE WHEN f64 IS NOT NULL AND s2 > 0 THEN (f64 - m2) / sqrt(s2 / n2) ELSE 0 END AS margin
--     FROM r JOIN s USING (n))
--   SELECT seq, 1 / (1 + exp(-margin)) AS p, margin AS raw, n::VARCHAR AS version FROM m
CREATE TABLE events_ooo (WATERMARK FOR ts AS ts - INTERVAL '2' SECOND)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events_ooo.parquet', 'history.path' = '${HISTORY}/events_ooo');

CREATE TABLE events (
  pos BIGINT, ts TIMESTAMP(3), k INT, q INT, f64 DOUBLE, unit DOUBLE, known AS ts + INTERVAL '5' SECOND, WATERMARK FOR known AS known
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE VIEW lessons AS
SELECT known, q AS a, f64 AS b, CASE WHEN k IN (2, 3) THEN unit < 0.5e0 + q * 0.02e0 END AS y FROM events;

CREATE MODEL m INPUT (a INT, b DOUBLE)
WITH ('type' = 'logistic', 'learn.from' = 'lessons.y', 'learn.rate' = '0.05', 'learn.l2' = '0.001');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, PREDICT(m, q, f64) AS p, PREDICT_RAW(m, q, f64) AS raw, MODEL_VERSION(m) AS version FROM events_ooo;
