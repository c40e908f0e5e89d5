-- What functions make of view strings is compared with views and with other functions' strings.
-- duckdb:
--   SELECT seq, upper(txt) = txt AS a, trim(txt) IN (txt, 'x') AS b, coalesce(txt, 'none') AS c, left(txt, 4) = 'user' AS d
--   FROM simple WHERE trim(txt) = txt OR txt IS NULL
CREATE TABLE views (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/views.arrow', 'history.path' = '${HISTORY}/views');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, UPPER(v) = v AS a, TRIM(v) IN (v, 'x') AS b, COALESCE(v, 'none') AS c, LEFT(v, 4) = 'user' AS d
FROM views WHERE TRIM(v) = v OR v IS NULL;
