-- Sums of doubles that cancel out, NaN and infinities: each frame's own exact sum.
-- duckdb: none (it rounds at each step)
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, SUM(cancel) OVER w AS c, AVG(cancel) OVER w AS ac, SUM(nasty) OVER w AS n, AVG(nasty) OVER w AS an, MAX(nasty) OVER w AS hi,
  MIN(nasty) OVER w AS lo, COUNT(DISTINCT nasty) OVER w AS d
FROM events
WINDOW w AS (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL '20' SECOND PRECEDING AND CURRENT ROW);
