-- Late labels teach nothing, late rows are not answered, and infinite values are refused: all of them are dead letters.
-- duckdb:
--   WITH r AS (SELECT *, max(ts - INTERVAL 2 SECOND)
--     OVER (ORDER BY pos ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW) AS wm FROM events_late),
--   taught AS (SELECT ts FROM r WHERE ts >= coalesce(wm, '-infinity') AND k = 1 AND NOT coalesce(isinf(nasty), false))
--   SELECT seq, (SELECT count(*) FROM taught t WHERE t.ts < r.ts)::VARCHAR AS version, coalesce(isnan(nasty), false) AS missing
--   FROM r WHERE ts >= coalesce(wm, '-infinity') AND NOT coalesce(isinf(nasty), false)
-- late:
--   WITH r AS (SELECT *, max(ts - INTERVAL 2 SECOND)
--     OVER (ORDER BY pos ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW) AS wm FROM events_late)
--   SELECT count(*) + count(*) FILTER (WHERE k = 1) FROM r WHERE ts < wm
-- dead letters:
--   WITH r AS (SELECT *, max(ts - INTERVAL 2 SECOND)
--     OVER (ORDER BY pos ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW) AS wm FROM events_late)
--   SELECT count(*) + count(*) FILTER (WHERE k = 1) FROM r WHERE ts < coalesce(wm, '-infinity') OR isinf(nasty)
CREATE TABLE events_late (WATERMARK FOR ts AS ts - INTERVAL '2' SECOND)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events_late.parquet', 'history.path' = '${HISTORY}/events_late');

CREATE VIEW features AS
SELECT seq, ts, CASE WHEN nasty > 1e308 OR nasty < -1e308 THEN nasty ELSE q END AS x, CASE WHEN k = 1 THEN q > 0 END AS y FROM events_late;

CREATE MODEL m INPUT (x DOUBLE) WITH ('type' = 'logistic', 'learn.from' = 'features.y');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, version, missing
FROM (SELECT seq, MODEL_VERSION(m) AS version, PREDICT(m, x) AS p, ISNAN(x) AS missing FROM features)
WHERE p BETWEEN 0 AND 1;
