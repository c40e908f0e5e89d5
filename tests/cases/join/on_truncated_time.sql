-- A key that is a function of the time on both sides.
-- duckdb:
--   SELECT p.pos, e.seq FROM payments p JOIN (SELECT seq, date_trunc('minute', ts) AS m FROM events
--   WHERE seq % 50 = 0) e ON date_trunc('minute', p.ts) = e.m
CREATE TABLE payments (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/payments.parquet', 'history.path' = '${HISTORY}/payments');
CREATE TABLE events WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT p.pos, e.seq FROM payments AS p
JOIN (SELECT seq, ts FROM events WHERE seq % 50 = 0) AS e ON FLOOR(p.ts TO MINUTE) = FLOOR(e.ts TO MINUTE);
