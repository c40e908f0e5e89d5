-- groups: rows and sum of each of ${GROUPS} keys, which all stay until the end. For ../memory.py.
CREATE TABLE rows (
    k BIGINT,
    v ${TYPE}
) WITH (
    'connector' = 'datagen', 'number-of-rows' = '${ROWS}',
    'fields.k.min' = '1', 'fields.k.max' = '${GROUPS}', 'fields.v.min' = '0', 'fields.v.max' = '1000'
);

CREATE TABLE result WITH (${SINK}) AS
SELECT k, COUNT(*) AS n, SUM(v) AS s FROM rows GROUP BY k;
