-- PRIMARY KEY … NOT ENFORCED is accepted on source and sink.
-- duckdb: SELECT seq, sum(q) AS s FROM events WHERE seq < 500 GROUP BY seq
CREATE TABLE events (
  seq BIGINT,
  ts TIMESTAMP(3),
  q INT,
  PRIMARY KEY (seq) NOT ENFORCED,
  WATERMARK FOR ts AS ts
)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

CREATE TABLE out (
  seq BIGINT,
  s BIGINT,
  PRIMARY KEY (seq) NOT ENFORCED
) WITH ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet');

INSERT INTO out SELECT seq, SUM(q) FROM events WHERE seq < 500 GROUP BY seq;
