-- Flink's form: a model's columns behind those of a table, and windows over them.
-- duckdb: none (it has no models)
-- duckdb windows: none (likewise)
CREATE MODEL xgb INPUT (a DOUBLE, b DOUBLE, c DOUBLE, d DOUBLE, e DOUBLE) OUTPUT (score DOUBLE)
WITH ('path' = '${DATA}/models/xgb.json');
CREATE MODEL three OUTPUT (low DOUBLE, middle DOUBLE, high DOUBLE) WITH ('path' = '${DATA}/models/three.ubj');
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE VIEW features AS
SELECT pos, ts, q * 0.3e0 AS a, f32 / 50 AS b, f64 / 500 AS c, i64 % 70 AS d, MOD(money, 3) AS e FROM events;

CREATE VIEW scored AS
SELECT pos, ts, score, low, high FROM ML_PREDICT(
    TABLE (SELECT * FROM ML_PREDICT(TABLE features, MODEL xgb, DESCRIPTOR(a, b, c, d, e))),
    MODEL three,
    DESCRIPTOR(a, b, c, d, e));

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS SELECT * FROM scored;

CREATE TABLE windows WITH ('connector' = 'filesystem', 'path' = '${OUT}/windows.parquet') AS
SELECT window_start, COUNT(*) AS n, AVG(score) AS mean, MAX(high - low) AS most
FROM TABLE(HOP(TABLE scored, DESCRIPTOR(ts), INTERVAL '10' SECOND, INTERVAL '1' MINUTE))
GROUP BY window_start, window_end;
