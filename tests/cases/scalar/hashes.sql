-- MD5 and SHA256 in hexadecimal.
-- duckdb:
--   SELECT seq, md5(txt) AS m, sha256(txt) AS s
--   FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, MD5(txt) AS m, SHA256(txt) AS s
FROM events;
