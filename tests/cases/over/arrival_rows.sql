-- What stands before a row, of what has arrived: by time, rows of one time as they came.
-- duckdb:
--   SELECT a.seq, count(b.seq) + 1 AS number, arg_max(b.seq, (b.ts, b.pos)) AS before,
--     count(b.seq) FILTER (WHERE b.q > 0) + (max(a.q) > 0 IS TRUE)::INT AS positive
--   FROM events_ooo a LEFT JOIN events_ooo b ON a.k IS NOT DISTINCT FROM b.k AND b.pos < a.pos AND b.ts <= a.ts
--   GROUP BY a.seq
SET 'pelton.over.mode' = 'arrival';

CREATE TABLE events_ooo (WATERMARK FOR ts AS ts - INTERVAL '2' SECOND)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events_ooo.parquet', 'history.path' = '${HISTORY}/events_ooo');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, ROW_NUMBER() OVER (PARTITION BY k ORDER BY ts) AS number, LAG(seq) OVER (PARTITION BY k ORDER BY ts) AS before,
    COUNT(*) FILTER (WHERE q > 0) OVER (PARTITION BY k ORDER BY ts) AS positive
FROM events_ooo;
