-- The 30 features of a payment, over eleven windows, point-in-time correct: a window ends with the payment itself, and labels count
-- from the day on which they are known. The DuckDB original is `features.sql` beside the models of the shared data.
--
-- A live stream does not know a label yet when its payment comes. So labels are a stream of their own, a week behind, in which each
-- payment comes again at `known_at`; payments have no `fraud`, labels no `cents`, and aggregates pass over NULLs.

CREATE TABLE payments (
    transaction_id BIGINT,
    event_time TIMESTAMP_LTZ(6),
    customer_id INT,
    terminal_id INT,
    amount DOUBLE,
    WATERMARK FOR event_time AS event_time
) WITH ('connector' = 'filesystem', 'path' = '${PELTON_DATA}/fraud_transactions/transactions.parquet');

CREATE TABLE labels (
    transaction_id BIGINT,
    event_time TIMESTAMP_LTZ(6),
    customer_id INT,
    terminal_id INT,
    amount DOUBLE,
    is_fraud TINYINT,
    known_at AS event_time + INTERVAL '7' DAY,
    WATERMARK FOR known_at AS known_at
) WITH ('connector' = 'filesystem', 'path' = '${PELTON_DATA}/fraud_transactions/transactions.parquet');

CREATE VIEW tx AS
SELECT transaction_id, event_time AS t, customer_id AS c, terminal_id AS m, amount, CAST(ROUND(amount * 100) AS BIGINT) AS cents,
    event_time AS paid, CAST(NULL AS TINYINT) AS fraud
FROM payments
UNION ALL
SELECT transaction_id, known_at, customer_id, terminal_id, amount, CAST(NULL AS BIGINT), CAST(NULL AS TIMESTAMP_LTZ(6)), is_fraud
FROM labels;

CREATE VIEW sums AS
SELECT transaction_id, t, amount, cents, paid,
    COUNT(cents) OVER c1h AS nc1h, CAST(SUM(cents) OVER c1h AS DOUBLE) / 100 AS sc1h,
    COUNT(cents) OVER c1d AS nc1d, CAST(SUM(cents) OVER c1d AS DOUBLE) / 100 AS sc1d,
    COUNT(cents) OVER c7d AS nc7d, CAST(SUM(cents) OVER c7d AS DOUBLE) / 100 AS sc7d,
    COUNT(cents) OVER m1h AS nm1h, CAST(SUM(cents) OVER m1h AS DOUBLE) / 100 AS sm1h,
    COUNT(cents) OVER m1d AS nm1d, CAST(SUM(cents) OVER m1d AS DOUBLE) / 100 AS sm1d,
    COUNT(cents) OVER m7d AS nm7d, CAST(SUM(cents) OVER m7d AS DOUBLE) / 100 AS sm7d,
    MAX(paid) OVER cprev AS before,
    COUNT(fraud) OVER m1dl AS ln1d, COALESCE(SUM(fraud) OVER m1dl, 0) AS lf1d,
    COUNT(fraud) OVER m7dl AS ln7d, COALESCE(SUM(fraud) OVER m7dl, 0) AS lf7d,
    COUNT(fraud) OVER m30l AS ln30d, COALESCE(SUM(fraud) OVER m30l, 0) AS lf30d,
    COALESCE(SUM(fraud) OVER c7dl, 0) AS cf7d
FROM tx
WINDOW c1h AS (PARTITION BY c ORDER BY t RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW),
    c1d AS (PARTITION BY c ORDER BY t RANGE BETWEEN INTERVAL '1' DAY PRECEDING AND CURRENT ROW),
    c7d AS (PARTITION BY c ORDER BY t RANGE BETWEEN INTERVAL '7' DAY PRECEDING AND CURRENT ROW),
    cprev AS (PARTITION BY c ORDER BY t RANGE BETWEEN UNBOUNDED PRECEDING AND INTERVAL '1' SECOND PRECEDING),
    m1h AS (PARTITION BY m ORDER BY t RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW),
    m1d AS (PARTITION BY m ORDER BY t RANGE BETWEEN INTERVAL '1' DAY PRECEDING AND CURRENT ROW),
    m7d AS (PARTITION BY m ORDER BY t RANGE BETWEEN INTERVAL '7' DAY PRECEDING AND CURRENT ROW),
    m1dl AS (PARTITION BY m ORDER BY t RANGE BETWEEN INTERVAL '1' DAY PRECEDING AND CURRENT ROW),
    m7dl AS (PARTITION BY m ORDER BY t RANGE BETWEEN INTERVAL '7' DAY PRECEDING AND CURRENT ROW),
    m30l AS (PARTITION BY m ORDER BY t RANGE BETWEEN INTERVAL '30' DAY PRECEDING AND CURRENT ROW),
    c7dl AS (PARTITION BY c ORDER BY t RANGE BETWEEN INTERVAL '7' DAY PRECEDING AND CURRENT ROW);

CREATE VIEW features AS
SELECT transaction_id, t AS event_time, amount,
    CAST(EXTRACT(HOUR FROM t) AS DOUBLE) AS hour_of_day, CAST(EXTRACT(ISODOW FROM t) - 1 AS DOUBLE) AS day_of_week,
    nc1h AS card_cnt_1h, sc1h AS card_sum_1h, sc1h / nc1h AS card_avg_1h,
    nc1d AS card_cnt_1d, sc1d AS card_sum_1d, sc1d / nc1d AS card_avg_1d,
    nc7d AS card_cnt_7d, sc7d AS card_sum_7d, sc7d / nc7d AS card_avg_7d,
    nm1h AS term_cnt_1h, sm1h AS term_sum_1h, sm1h / nm1h AS term_avg_1h,
    nm1d AS term_cnt_1d, sm1d AS term_sum_1d, sm1d / nm1d AS term_avg_1d,
    nm7d AS term_cnt_7d, sm7d AS term_sum_7d, sm7d / nm7d AS term_avg_7d,
    CASE WHEN sc7d > 0 THEN amount / (sc7d / nc7d) END AS amount_over_card_avg_7d,
    CAST(TIMESTAMPDIFF(SECOND, before, t) AS DOUBLE) AS card_secs_since_prev,
    ln1d AS term_cnt_1d_lag7d, lf1d AS term_fraud_1d_lag7d,
    ln7d AS term_cnt_7d_lag7d, lf7d AS term_fraud_7d_lag7d,
    ln30d AS term_cnt_30d_lag7d, lf30d AS term_fraud_30d_lag7d,
    cf7d AS card_fraud_7d_lag7d
FROM sums
WHERE paid IS NOT NULL;
