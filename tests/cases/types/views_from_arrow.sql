-- String views and binary views, from an Arrow IPC file.
-- duckdb: SELECT seq, txt AS v, encode(txt) AS bv FROM simple
CREATE TABLE views (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/views.arrow', 'history.path' = '${HISTORY}/views');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, v, bv FROM views;
