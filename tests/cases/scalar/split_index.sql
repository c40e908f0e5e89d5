-- SPLIT_INDEX counts from 0 and is NULL past the end.
-- duckdb:
--   SELECT seq, split_part(txt, '|', 1) AS a, split_part(txt, '|', 2) AS b, nullif(split_part(txt, '/', 5), '') AS c,
--     CASE WHEN txt IS NOT NULL THEN NULL::VARCHAR END AS d
--   FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, SPLIT_INDEX(txt, '|', 0) AS a, SPLIT_INDEX(txt, '|', 1) AS b, SPLIT_INDEX(txt, '/', 4) AS c,
  SPLIT_INDEX(txt, '|', 9) AS d
FROM events;
