-- How late do flights leave New York, and was it the weather? Every departure of 2013 meets the weather of its airport and hour.
-- Run from the root of the repository: pelton run examples/flights/delays.sql
CREATE TABLE flights (
    WATERMARK FOR event_time AS event_time
) WITH ('connector' = 'filesystem', 'path' = 'examples/flights/flights_2013.parquet');

CREATE TABLE weather WITH ('connector' = 'filesystem', 'path' = 'examples/flights/weather_2013.parquet');

CREATE VIEW departures AS
SELECT f.event_time, f.origin, f.dep_delay_min, w.precip, w.wind_speed
FROM flights f
LEFT JOIN weather w ON f.origin = w.origin AND DATE_TRUNC('hour', f.event_time) = w.event_time;

CREATE VIEW days AS
SELECT window_start, origin, COUNT(*) AS planned, COUNT(dep_delay_min) AS departed, AVG(dep_delay_min) AS delay_min,
    COUNT(*) FILTER (WHERE precip > 0) AS in_rain, MAX(wind_speed) AS wind_mph_max
FROM TABLE(TUMBLE(TABLE departures, DESCRIPTOR(event_time), INTERVAL '1' DAY))
GROUP BY window_start, window_end, origin;

CREATE TABLE delays_per_day WITH (
    'connector' = 'filesystem', 'path' = 'demo-out/flights/delays_per_day.parquet', 'sink.mode' = 'overwrite'
) AS SELECT * FROM days;

-- The worst days go to the screen.
SELECT window_start, origin, planned, planned - departed AS cancelled, ROUND(delay_min) AS delay_min, in_rain, wind_mph_max
FROM days
WHERE delay_min > 60;
