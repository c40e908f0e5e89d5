-- A line is learnt from the rows that ask: each is answered before it teaches. Weights without deviations, labels that are missing.
-- duckdb:
--   WITH RECURSIVE l AS (
--     SELECT row_number() OVER (ORDER BY ts, pos) AS n, ts, (q / 20)::DOUBLE AS a, 3 + q * 0.1 - unit AS y
--     FROM (SELECT pos, ts, q::DOUBLE AS q, unit FROM events WHERE name IS NOT NULL AND pos < 800)),
--   s AS (
--     SELECT 0::BIGINT AS n, 0::DOUBLE AS w, 0::DOUBLE AS bias
--     UNION ALL
--     SELECT n, w - 0.1::DOUBLE * (bias + w * a - y) * a, bias - 0.1::DOUBLE * (bias + w * a - y)
--     FROM (SELECT l.n, a, y, w, bias FROM s JOIN l ON l.n = s.n + 1)),
--   r AS (SELECT seq, q::DOUBLE / 20 AS a, (SELECT count(*) FROM l WHERE l.ts < e.ts) AS n FROM events e WHERE pos < 800)
--   SELECT seq, bias + w * a AS said, w * a AS by_a, bias AS by_bias FROM r JOIN s USING (n)
-- duckdb windows: none (the sink `out` says it)
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE VIEW features AS
SELECT seq, ts, q / 20e0 AS a, CASE WHEN name IS NOT NULL THEN 3 + q * 0.1e0 - unit END AS y FROM events WHERE pos < 800;

CREATE MODEL line INPUT (a DOUBLE) OUTPUT (said DOUBLE)
WITH ('type' = 'linear', 'learn.from' = 'features.y', 'learn.rate' = '0.1', 'learn.standardize' = 'false');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, said, because['a'] AS by_a, because['bias'] AS by_bias
FROM (SELECT seq, said, EXPLAIN_PREDICT(line, a) AS because FROM ML_PREDICT(TABLE features, MODEL line, DESCRIPTOR(a)));

CREATE TABLE windows WITH ('connector' = 'filesystem', 'path' = '${OUT}/windows.parquet') AS
SELECT window_start, COUNT(*) AS n, AVG(POWER(said - y, 2)) AS misses
FROM TABLE(TUMBLE(
  TABLE (SELECT ts, y, PREDICT(line, a) AS said FROM features WHERE PREDICT_RAW(line, a) IS NOT NULL),
  DESCRIPTOR(ts),
  INTERVAL '1' MINUTE))
GROUP BY window_start, window_end;
