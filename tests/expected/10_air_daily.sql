-- Per station and day, with real gaps: readings, mean and peak of PM2.5.
CREATE TABLE hourly (
  WATERMARK FOR event_time AS event_time - INTERVAL '0' SECOND
) WITH ('connector' = 'filesystem', 'path' = '${PELTON_DATA:-../shared/data}/air_quality/beijing_hourly.parquet');

CREATE TABLE answer WITH ('connector' = 'filesystem', 'path' = '${OUT:-answers}/10_air_daily.parquet') AS
SELECT station, window_start, COUNT(*) AS n, COUNT(pm25) AS n_pm25, AVG(pm25) AS avg_pm25, MAX(pm25) AS max_pm25, SUM(rain_mm) AS rain
FROM TABLE(TUMBLE(TABLE hourly, DESCRIPTOR(event_time), INTERVAL '1' DAY))
GROUP BY window_start, window_end, station;
