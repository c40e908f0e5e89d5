-- Edits of Wikipedia per language and 5 minutes, people only.
CREATE TABLE edits (
  WATERMARK FOR event_time AS event_time - INTERVAL '0' SECOND
) WITH ('connector' = 'filesystem', 'path' = '${PELTON_DATA:-../shared/data}/wikipedia_edits/edits_2015_09_12.parquet');

CREATE TABLE answer WITH ('connector' = 'filesystem', 'path' = '${OUT:-answers}/08_wiki_5min.parquet') AS
SELECT window_start, channel, COUNT(*) AS edits, COUNT(DISTINCT user_hash) AS editors, SUM(added) AS added, SUM(deleted) AS deleted,
  MIN(delta) AS min_delta, MAX(delta) AS max_delta
FROM TABLE(TUMBLE(TABLE edits, DESCRIPTOR(event_time), INTERVAL '5' MINUTE))
WHERE NOT is_robot
GROUP BY window_start, window_end, channel;
