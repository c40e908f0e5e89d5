-- Level and peak of 58 metrics (servers, traffic, sensors) per day, and whether the day touches a labelled anomaly.
-- Run from the root of the repository: pelton run examples/monitoring/levels.sql
CREATE TABLE metrics (
    WATERMARK FOR event_time AS event_time
) WITH ('connector' = 'filesystem', 'path' = 'examples/monitoring/metrics.parquet');

CREATE TABLE levels WITH (
    'connector' = 'filesystem', 'path' = 'demo-out/monitoring/levels.parquet', 'sink.mode' = 'overwrite'
) AS
SELECT series, window_start, COUNT(*) AS n, MIN(`value`) AS lowest, MAX(`value`) AS highest, AVG(`value`) AS level,
    STDDEV_SAMP(`value`) AS spread, BOOL_OR(in_anomaly_window) AS anomalous
FROM TABLE(TUMBLE(TABLE metrics, DESCRIPTOR(event_time), INTERVAL '1' DAY))
GROUP BY series, window_start, window_end;
