-- ysb: Yahoo Streaming Benchmark. Views per campaign and 10 seconds; 1,000 ads of 100 campaigns. In order.
CREATE TABLE ysb (
    user_id INT,
    page_id INT,
    ad_id INT,
    ad_type STRING,
    event_type STRING,
    event_time BIGINT,
    ts AS TO_TIMESTAMP_LTZ(event_time, 3),
    WATERMARK FOR ts AS ts - INTERVAL '0.001' SECOND
) WITH (${SOURCE_ysb});

CREATE TABLE ads (
    ad_id INT,
    campaign_id INT
) WITH (${SOURCE_ads});

CREATE TABLE result WITH (${SINK}) AS
SELECT a.campaign_id AS campaign_id, e.window_start AS w, COUNT(*) AS n
FROM TABLE(TUMBLE(TABLE ysb, DESCRIPTOR(ts), INTERVAL '10' SECOND)) e
JOIN ads a ON e.ad_id = a.ad_id
WHERE e.event_type = 'view'
GROUP BY a.campaign_id, e.window_start, e.window_end;
