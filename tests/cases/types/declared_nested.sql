-- ROW and ARRAY columns declared, and a field of a row read.
-- duckdb: SELECT seq, li, st, st.a AS a, st.b AS b FROM events
CREATE TABLE events (
  seq BIGINT,
  ts TIMESTAMP(3),
  li ARRAY<INT>,
  st ROW<a INT, b STRING>,
  WATERMARK FOR ts AS ts
)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, li, st, events.st.a AS a, events.st.b AS b FROM events;
