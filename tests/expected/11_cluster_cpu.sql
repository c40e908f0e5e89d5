-- Requested CPU per job category: a minute, sliding by a second.
-- displace: streambench_small/google_cluster_events 10
CREATE TABLE jobs (
  WATERMARK FOR event_time AS event_time - INTERVAL '10' SECOND
) WITH ('connector' = 'filesystem', 'path' = '${PELTON_DATA:-../shared/data}/streambench_small/google_cluster_events.parquet');

CREATE TABLE answer WITH ('connector' = 'filesystem', 'path' = '${OUT:-answers}/11_cluster_cpu.parquet') AS
SELECT window_start, category, COUNT(*) AS n, SUM(CAST(ROUND(cpu * 1000) AS BIGINT)) AS milli_cpu
FROM TABLE(HOP(TABLE jobs, DESCRIPTOR(event_time), INTERVAL '1' SECOND, INTERVAL '60' SECOND))
GROUP BY window_start, window_end, category;
