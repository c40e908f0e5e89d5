-- tpch_q1: eight aggregates over four groups, no window: one answer at the end of the input.
CREATE TABLE lineitem (
    l_quantity DOUBLE,
    l_extendedprice DOUBLE,
    l_discount DOUBLE,
    l_tax DOUBLE,
    l_returnflag STRING,
    l_linestatus STRING,
    l_shipdate DATE
) WITH (${SOURCE_lineitem});

CREATE TABLE result WITH (${SINK}) AS
SELECT l_returnflag, l_linestatus, SUM(l_quantity) AS sq, SUM(l_extendedprice) AS sp,
    SUM(l_extendedprice * (1 - l_discount)) AS sd, SUM(l_extendedprice * (1 - l_discount) * (1 + l_tax)) AS sc,
    AVG(l_quantity) AS aq, AVG(l_extendedprice) AS ap, AVG(l_discount) AS ad, COUNT(*) AS n
FROM lineitem
WHERE l_shipdate <= DATE '1998-09-02'
GROUP BY l_returnflag, l_linestatus;
