-- csv: CSV of twelve fields, of which six are read; one record in twenty passes the filter. In order.
CREATE TABLE csv (
    id BIGINT,
    card_id BIGINT,
    merchant STRING,
    amount DOUBLE,
    fee DOUBLE,
    country STRING,
    mcc INT,
    event_time BIGINT,
    is_online BOOLEAN,
    note STRING,
    ts AS TO_TIMESTAMP_LTZ(event_time, 3),
    WATERMARK FOR ts AS ts - INTERVAL '0.001' SECOND
) WITH (${SOURCE_csv});

CREATE TABLE result WITH (${SINK}) AS
SELECT country, mcc, window_start AS w, COUNT(*) AS n, SUM(amount) AS s, MIN(amount) AS mn, MAX(amount) AS mx, SUM(fee) AS f
FROM TABLE(TUMBLE(TABLE csv, DESCRIPTOR(ts), INTERVAL '1' MINUTE))
WHERE is_online AND amount > 50.0 AND country IN ('US', 'GB', 'DE', 'FR', 'BR', 'IN', 'JP', 'CA')
GROUP BY country, mcc, window_start, window_end;
