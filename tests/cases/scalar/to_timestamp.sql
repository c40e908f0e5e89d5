-- TO_TIMESTAMP, TO_DATE and typed literals.
-- duckdb:
--   SELECT seq, TIMESTAMP '2024-02-29 12:34:56' AS a, DATE '1999-12-31' AS b, ts > TIMESTAMP '2024-03-10 00:08:00.5' AS c,
--     make_timestamp(2020, 1, 1 + seq % 28, 0, 0, 0) AS d
--   FROM events
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') AS
SELECT seq, TO_TIMESTAMP('2024-02-29 12:34:56') AS a, TO_DATE('1999-12-31') AS b,
  ts > TIMESTAMP '2024-03-10 00:08:00.5' AS c,
  TO_TIMESTAMP('2020-01-' || LPAD(CAST(1 + seq % 28 AS STRING), 2, '0') || ' 00:00:00') AS d
FROM events;
