-- Three INSERTs over one pass of the source.
-- duckdb: SELECT seq, name FROM events WHERE b
-- duckdb counts: SELECT tumble(ts, INTERVAL 10 SECOND) AS w, count(*) AS n FROM events GROUP BY ALL
-- duckdb sums: SELECT tumble(ts, INTERVAL 1 MINUTE) AS w, k, sum(q) AS s FROM events GROUP BY ALL
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out (
  seq BIGINT,
  name STRING
) WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet');
CREATE TABLE counts (
  w TIMESTAMP(3),
  n BIGINT
) WITH ('connector' = 'filesystem', 'path' = '${OUT}/counts.parquet');
CREATE TABLE sums (
  w TIMESTAMP(3),
  k INT,
  s BIGINT
) WITH ('connector' = 'filesystem', 'path' = '${OUT}/sums.parquet');

EXECUTE STATEMENT SET BEGIN
  INSERT INTO out SELECT seq, name FROM events WHERE b;
  INSERT INTO counts SELECT window_start, COUNT(*) FROM TUMBLE(events, ts, INTERVAL '10' SECOND)
  GROUP BY window_start, window_end;
  INSERT INTO sums SELECT window_start, k, SUM(q) FROM TUMBLE(events, ts, INTERVAL '1' MINUTE)
  GROUP BY window_start, window_end, k;
END;
