-- Per day, machine type and benchmark: how fast and how noisy.
-- displace: vm_noise/measurements 3600
CREATE TABLE measurements (
  WATERMARK FOR event_time AS event_time - INTERVAL '3600' SECOND
) WITH ('connector' = 'filesystem', 'path' = '${PELTON_DATA:-../shared/data}/vm_noise/measurements.parquet');

CREATE TABLE answer WITH ('connector' = 'filesystem', 'path' = '${OUT:-answers}/05_vm_daily.parquet') AS
SELECT window_start, sku, metric, unit, COUNT(*) AS n, MIN(`value`) AS min_value, MAX(`value`) AS max_value,
  AVG(`value`) AS avg_value, STDDEV_SAMP(`value`) AS sd_value
FROM TABLE(TUMBLE(TABLE measurements, DESCRIPTOR(event_time), INTERVAL '1' DAY))
GROUP BY window_start, window_end, sku, metric, unit;
