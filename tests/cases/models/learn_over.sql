-- Labels behind OVER and of two branches have no order of their own: those of one time teach in the order of their values.
-- duckdb: none (as `learn`, but for that)
CREATE TABLE parts (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/parts', 'scan.partitions' = 'file',
  'history.path' = '${HISTORY}/parts');

CREATE VIEW features AS
SELECT seq, ts, q, COUNT(*) OVER (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL '10' SECOND PRECEDING AND CURRENT ROW) AS n, money
FROM parts;

CREATE VIEW lessons AS
SELECT ts, q, n, money > 20000 AS y FROM features UNION ALL SELECT ts, q, n, money < 1000 FROM features WHERE q > 0;

CREATE MODEL m INPUT (q INT, n BIGINT) WITH ('type' = 'logistic', 'learn.from' = 'lessons.y', 'learn.rate' = '0.1');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, n, PREDICT(m, q, n) AS p, MODEL_VERSION(m) AS version FROM features;
