-- Filters behind OVER: rows that do not pass are looked at by others, and are not answered.
-- duckdb:
--   SELECT seq, n, total, different, before, rn, high FROM (SELECT *, count(q) OVER w AS n, sum(q) OVER w AS total, count(DISTINCT q) OVER w AS different,
--     lag(q) OVER byrow AS before, row_number() OVER byrow AS rn, max(name) OVER w AS high FROM events
--     WINDOW w AS (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL 20 SECOND PRECEDING AND CURRENT ROW),
--       byrow AS (PARTITION BY k ORDER BY ts, pos)) WHERE q > 2 AND name IS NOT NULL
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE VIEW answered AS
SELECT seq, q AS number, name, COUNT(q) OVER w AS n, SUM(q) OVER w AS total, COUNT(DISTINCT q) OVER w AS different, LAG(q) OVER byrow AS before,
  ROW_NUMBER() OVER byrow AS rn, MAX(name) OVER w AS high
FROM events
WINDOW w AS (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL '20' SECOND PRECEDING AND CURRENT ROW),
  byrow AS (PARTITION BY k ORDER BY ts);

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, n, total, different, before, rn, high FROM answered WHERE number > 2 AND name IS NOT NULL;
