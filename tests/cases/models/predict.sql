-- Scores of three libraries, alone and in windows: missing values, whole tiles and parts of them.
-- duckdb: none (it has no models)
-- duckdb windows: none (likewise)
CREATE MODEL xgb WITH ('path' = '${DATA}/models/xgb.json');
CREATE MODEL lgb WITH ('path' = '${DATA}/models/lgb.txt');
CREATE MODEL trees WITH ('path' = '${DATA}/models/trees.onnx');
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE VIEW features AS
SELECT pos, ts, k, q * 0.3e0 AS x, f32 / 50 AS y, f64 / 500 AS z, i64 % 70 AS w, MOD(money, 3) AS m FROM events;

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT pos, PREDICT(xgb, x, y, z, w, m) AS a, PREDICT(lgb, x, y, z, w, m) AS b, PREDICT(trees, x, y, z, w, m) AS t,
    PREDICT_RAW(xgb, x, y, z, w, m) AS raw, PREDICT_LEAVES(lgb, x, y, z, w, m) AS leaves
FROM features;

CREATE TABLE windows WITH ('connector' = 'filesystem', 'path' = '${OUT}/windows.parquet') AS
SELECT window_start, k, COUNT(*) AS n, SUM(PREDICT(lgb, x, y, z, w, m)) AS total, MAX(PREDICT(xgb, x, y, z, w, m)) AS most
FROM TABLE(TUMBLE(TABLE features, DESCRIPTOR(ts), INTERVAL '10' SECOND))
WHERE PREDICT(trees, x, y, z, w, m) > 0
GROUP BY window_start, window_end, k;
