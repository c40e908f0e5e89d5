-- INITCAP.
-- duckdb:
--   SELECT seq, list_aggregate(list_transform(string_split(lower(name), ' '), lambda w: upper(w[1]) || w[2:]),
--     'string_agg', ' ') AS i
--   FROM events WHERE name IN ('Oak Tree', 'alder', 'x', 'elm')
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, INITCAP(name) AS i
FROM events
WHERE name IN ('Oak Tree', 'alder', 'x', 'elm');
