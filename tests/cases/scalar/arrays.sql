-- Elements, slices and functions of a list column with NULL lists, empty lists and NULL items.
-- duckdb:
--   SELECT seq, li[1] AS head, li[-1] AS tail, len(li) AS n, list_contains(li, k) AS has, list_slice(li, 1, 2) AS cut,
--     list_concat(li, [k]) AS more, list_position(li, k) AS at, list_reverse(li) AS turned, [k, q] AS made
--   FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, li[1] AS head, li[-1] AS tail, CARDINALITY(li) AS n, ARRAY_CONTAINS(li, k) AS has, li[1:2] AS cut,
  li || ARRAY[k] AS more, ARRAY_POSITION(li, k) AS at, ARRAY_REVERSE(li) AS turned, ARRAY[k, q] AS made
FROM events;
