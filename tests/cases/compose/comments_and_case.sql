-- Comments, lower case keywords and semicolons anywhere.
-- duckdb: SELECT seq, k FROM events WHERE k = 2
CREATE TABLE events (WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DATA}/events.parquet', 'history.path' = '${HISTORY}/events');

/* a block
   comment; with a semicolon */
create table out with ('connector' = 'filesystem', 'path' = '${OUT}/out.parquet') as -- to the end; of the line
select seq, k from events where k = 2 -- the second key;
