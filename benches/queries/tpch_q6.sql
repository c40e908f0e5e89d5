-- tpch_q6: a selective filter and one sum: bound by memory bandwidth.
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
SELECT SUM(l_extendedprice * l_discount) AS r
FROM lineitem
WHERE l_shipdate >= DATE '1994-01-01' AND l_shipdate < DATE '1995-01-01'
    AND l_discount >= 0.045 AND l_discount <= 0.075 AND l_quantity < 24;
