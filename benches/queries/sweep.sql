-- sweep: rows and sum of each key. From the last two columns a sum over the result tells a row in the wrong group. For ../sweep.py.
CREATE TABLE sweep (
    k BIGINT,
    v DOUBLE
) WITH (${SOURCE_sweep});

CREATE TABLE result WITH (${SINK}) AS
SELECT k, n, s, k * n AS kn, k * s AS ks FROM (SELECT k, COUNT(*) AS n, SUM(v) AS s FROM sweep GROUP BY k);
