-- Labels of one time come by partition, then by offset; two models in a query, one asked about the other's answer, in two sinks.
-- duckdb: none (the order of labels is in `learn`)
-- duckdb totals: none (likewise)
CREATE TABLE parts (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/parts', 'scan.partitions' = 'file',
  'history.path' = '${HISTORY}/parts');

CREATE VIEW lessons AS SELECT ts, q, i64 % 100 AS i, k > 0 AS y, money FROM parts;

CREATE MODEL odds INPUT (q INT, i BIGINT) WITH ('type' = 'logistic', 'learn.from' = 'lessons.y');
CREATE MODEL amount INPUT (q INT) WITH ('type' = 'linear', 'learn.from' = 'lessons.money', 'learn.rate' = '0.001');

CREATE VIEW scores AS
SELECT seq, part, ts, name, PREDICT(odds, q, i64 % 100) AS p, PREDICT(amount, q * PREDICT(odds, q, i64 % 100)) AS m FROM parts;

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS SELECT * FROM scores WHERE p > 0.5;

CREATE TABLE totals WITH ('connector' = 'filesystem', 'path' = '${OUT}/totals.parquet') AS
SELECT name, window_end, COUNT(*) AS n, SUM(m) AS total
FROM TABLE(HOP(TABLE scores, DESCRIPTOR(ts), INTERVAL '1' MINUTE, INTERVAL '2' MINUTE))
GROUP BY name, window_start, window_end;
