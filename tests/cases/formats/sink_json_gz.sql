-- Gzipped JSON lines as output.
-- duckdb: SELECT seq, ts, money, b, txt FROM simple
-- read:
--   SELECT * FROM read_json('${OUT}/out.jsonl.gz', format = 'newline_delimited', columns = {seq: 'BIGINT',
--     ts: 'TIMESTAMP', money: 'DOUBLE', b: 'BOOLEAN', txt: 'VARCHAR'})
CREATE TABLE simple (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/simple.parquet', 'history.path' = '${HISTORY}/simple');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.jsonl.gz') AS
SELECT seq, ts, money, b, txt FROM simple;
