-- CSV as output, with a header.
-- duckdb: SELECT seq, ts, money, b, txt FROM simple
-- read:
--   SELECT * FROM read_csv('${OUT}/out.csv', header = TRUE, columns = {'seq': 'BIGINT', 'ts': 'TIMESTAMP',
--     'money': 'DOUBLE', 'b': 'BOOLEAN', 'txt': 'VARCHAR'})
CREATE TABLE simple (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/simple.parquet', 'history.path' = '${HISTORY}/simple');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.csv') AS
SELECT seq, ts, money, b, txt FROM simple;
