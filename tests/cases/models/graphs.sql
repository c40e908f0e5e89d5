-- Graphs of ONNX files: a pipeline with an imputer, a network of three classes, trees behind a scaler; missing values, blocks of rows and parts of them.
-- duckdb: none (it has no models)
-- duckdb windows: none (likewise)
CREATE MODEL pipeline WITH ('path' = '${DATA}/models/pipeline.onnx');
CREATE MODEL network WITH ('path' = '${DATA}/models/network.onnx');
CREATE MODEL forest WITH ('path' = '${DATA}/models/forest.onnx');
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE VIEW features AS
SELECT pos, ts, k, q * 0.3e0 AS x, f32 / 50 AS y, f64 / 500 AS z, i64 % 7 AS w, MOD(money, 3) AS m FROM events;

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT pos, PREDICT(pipeline, x, y, z, w, m) AS a, PREDICT(network, x, y, z, w, m) AS n, PREDICT(forest, x, y, z, w, m) AS f,
    PREDICT_RAW(pipeline, x, y, z, w, m) AS raw
FROM features;

CREATE TABLE windows WITH ('connector' = 'filesystem', 'path' = '${OUT}/windows.parquet') AS
SELECT window_start, k, COUNT(*) AS n, SUM(PREDICT(pipeline, x, y, z, w, m)) AS total, MAX(PREDICT(forest, x, y, z, w, m)) AS most
FROM TABLE(TUMBLE(TABLE features, DESCRIPTOR(ts), INTERVAL '10' SECOND))
WHERE PREDICT(network, x, y, z, w, m)[1] < 0.9e0
GROUP BY window_start, window_end, k;
