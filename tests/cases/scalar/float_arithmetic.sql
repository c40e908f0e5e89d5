-- Infinities, NaN and zeros through + - * /.
-- duckdb:
--   SELECT seq, nasty + 1 AS a, nasty * 0 AS b, nasty / 2 AS c, 1 / nasty AS d, nasty - nasty AS e
--   FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, nasty + 1 AS a, nasty * 0 AS b, nasty / 2 AS c, 1 / nasty AS d, nasty - nasty AS e
FROM events;
