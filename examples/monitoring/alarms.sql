-- Alarms: six hours in which a metric rose more than eight standard deviations above its mean of those hours.
-- The last column says whether people had marked that time as anomalous.
-- Run from the root of the repository: pelton run examples/monitoring/alarms.sql
CREATE TABLE metrics (
    WATERMARK FOR event_time AS event_time
) WITH ('connector' = 'filesystem', 'path' = 'examples/monitoring/metrics.parquet');

SELECT window_end, series, COUNT(*) AS n, AVG(`value`) AS mean, MAX(`value`) AS highest,
    BOOL_OR(in_anomaly_window) AS marked
FROM TABLE(TUMBLE(TABLE metrics, DESCRIPTOR(event_time), INTERVAL '6' HOUR))
WHERE category <> 'artificialNoAnomaly'
GROUP BY series, window_start, window_end
HAVING COUNT(*) >= 30 AND MAX(`value`) > AVG(`value`) + 8 * STDDEV_SAMP(`value`);
