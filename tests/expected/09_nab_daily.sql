-- Per series and day: level, peak, and whether the day overlaps a labelled anomaly.
CREATE TABLE metrics (
  WATERMARK FOR event_time AS event_time - INTERVAL '0' SECOND
) WITH ('connector' = 'filesystem', 'path' = '${PELTON_DATA:-../shared/data}/nab/metrics.parquet');

CREATE TABLE answer WITH ('connector' = 'filesystem', 'path' = '${OUT:-answers}/09_nab_daily.parquet') AS
SELECT series, window_start, COUNT(*) AS n, MIN(`value`) AS min_value, MAX(`value`) AS max_value, AVG(`value`) AS avg_value,
  BOOL_OR(in_anomaly_window) AS anomalous
FROM TABLE(TUMBLE(TABLE metrics, DESCRIPTOR(event_time), INTERVAL '1' DAY))
GROUP BY window_start, window_end, series;
