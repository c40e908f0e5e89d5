-- Departures 15 minutes late or more, per airport and hour.
CREATE TABLE flights (
  WATERMARK FOR event_time AS event_time - INTERVAL '0' SECOND
) WITH ('connector' = 'filesystem', 'path' = '${PELTON_DATA:-../shared/data}/flights/flights_2001h1.parquet');

CREATE TABLE answer WITH ('connector' = 'filesystem', 'path' = '${OUT:-answers}/07_airport_hourly.parquet') AS
SELECT window_start, origin, COUNT(*) AS n, SUM(delay_min) AS sum_delay, MAX(delay_min) AS max_delay
FROM TABLE(TUMBLE(TABLE flights, DESCRIPTOR(event_time), INTERVAL '1' HOUR))
WHERE delay_min >= 15
GROUP BY window_start, window_end, origin
HAVING COUNT(*) >= 10;
