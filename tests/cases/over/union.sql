-- Two tables as one stream: the second comes later, as labels do.
-- duckdb:
--   WITH u AS (SELECT seq, k, ts, q, false AS label FROM events UNION ALL SELECT seq, k, ts + INTERVAL 5 SECOND, q, true FROM events)
--   SELECT seq, n, s FROM (SELECT seq, label, count(*) FILTER (WHERE label) OVER w AS n, sum(q) FILTER (WHERE label) OVER w AS s FROM u
--   WINDOW w AS (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL 10 SECOND PRECEDING AND CURRENT ROW)) WHERE NOT label
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE labels (seq BIGINT, k INT, ts TIMESTAMP(3), q INT, known AS ts + INTERVAL '5' SECOND, WATERMARK FOR known AS known)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/labels');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, n, s FROM (
  SELECT seq, label, COUNT(*) FILTER (WHERE label) OVER w AS n, SUM(q) FILTER (WHERE label) OVER w AS s
  FROM (SELECT seq, k, ts, q, FALSE AS label FROM events UNION ALL SELECT seq, k, known, q, TRUE AS label FROM labels)
  WINDOW w AS (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL '10' SECOND PRECEDING AND CURRENT ROW))
WHERE NOT label;
