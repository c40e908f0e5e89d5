-- SELECT * over a join keeps the columns of both sides.
-- duckdb: SELECT p.*, t.* FROM payments p JOIN terminals t ON p.terminal = t.terminal_id
CREATE TABLE payments (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/payments.parquet', 'history.path' = '${HISTORY}/payments');
CREATE TABLE terminals WITH ('connector' = 'filesystem', 'path' = '${DATA}/terminals.parquet');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT p.*, t.* FROM payments AS p JOIN terminals AS t ON p.terminal = t.terminal_id;
