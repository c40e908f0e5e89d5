-- Departure delays against the weather at the airport in the same hour: a stream with a bounded table.
CREATE TABLE flights (
  WATERMARK FOR event_time AS event_time - INTERVAL '0' SECOND
) WITH ('connector' = 'filesystem', 'path' = '${PELTON_DATA:-../shared/data}/nyc_flights/flights_2013.parquet');
CREATE TABLE weather WITH ('connector' = 'filesystem', 'path' = '${PELTON_DATA:-../shared/data}/nyc_flights/weather_2013.parquet');

CREATE TABLE answer WITH ('connector' = 'filesystem', 'path' = '${OUT:-answers}/06_flight_weather.parquet') AS
SELECT f.origin, window_start, COUNT(*) AS flights, COUNT(f.dep_delay_min) AS departed, SUM(f.dep_delay_min) AS sum_dep_delay,
  COUNT(w.origin) AS with_weather, SUM(CAST(w.precip > 0 AS INT)) AS in_rain, MAX(w.wind_speed) AS max_wind
FROM TABLE(TUMBLE(TABLE flights, DESCRIPTOR(event_time), INTERVAL '1' DAY)) AS f
LEFT JOIN weather AS w ON f.origin = w.origin AND FLOOR(f.event_time TO HOUR) = FLOOR(w.event_time TO HOUR)
GROUP BY f.origin, window_start, window_end;
