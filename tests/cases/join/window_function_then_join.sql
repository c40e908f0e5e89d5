-- The table function first, the join on its rows.
-- duckdb:
--   SELECT tumble(ts, INTERVAL 1 MINUTE) AS w, city, count(*) AS n FROM payments p
--   JOIN terminals t ON p.terminal = t.terminal_id GROUP BY ALL
CREATE TABLE payments (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/payments.parquet', 'history.path' = '${HISTORY}/payments');
CREATE TABLE terminals WITH ('connector' = 'filesystem', 'path' = '${DATA}/terminals.parquet');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT window_start AS w, city, COUNT(*) AS n
FROM TABLE(TUMBLE(TABLE payments, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) AS p
JOIN terminals AS t ON p.terminal = t.terminal_id
GROUP BY window_start, window_end, city;
