-- ASCII and CHR.
-- duckdb:
--   SELECT seq, ascii(name) AS a, chr(65 + abs(q)) AS c
--   FROM events WHERE name IN ('alder', 'elm', 'x', 'Oak Tree')
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, ASCII(name) AS a, CHR(65 + ABS(q)) AS c
FROM events
WHERE name IN ('alder', 'elm', 'x', 'Oak Tree');
