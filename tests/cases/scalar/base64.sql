-- TO_BASE64 and FROM_BASE64.
-- duckdb:
--   SELECT seq, base64(encode(txt)) AS b, txt AS t
--   FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, TO_BASE64(txt) AS b, FROM_BASE64(TO_BASE64(txt)) AS t
FROM events;
