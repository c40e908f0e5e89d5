-- Weeks in which an airline cancelled more than one departure in five: a window of seven days that moves by one.
-- Run from the root of the repository: pelton run examples/flights/carriers.sql
CREATE TABLE flights (
    WATERMARK FOR event_time AS event_time
) WITH ('connector' = 'filesystem', 'path' = 'examples/flights/flights_2013.parquet');

CREATE TABLE airlines WITH ('connector' = 'filesystem', 'path' = 'examples/flights/airlines.parquet');

SELECT window_start, a.name AS airline, COUNT(*) AS planned, COUNT(*) - COUNT(f.dep_delay_min) AS cancelled,
    MAX(f.dep_delay_min) AS longest_delay_min
FROM TABLE(HOP(TABLE flights, DESCRIPTOR(event_time), INTERVAL '1' DAY, INTERVAL '7' DAY)) f
JOIN airlines a ON f.carrier = a.carrier
GROUP BY window_start, window_end, a.name
HAVING COUNT(*) >= 100 AND (COUNT(*) - COUNT(f.dep_delay_min)) * 5 > COUNT(*);
