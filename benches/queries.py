"""The workloads: the peers' SQL, accepted by both DuckDB and DataFusion. Pelton's text of each is in queries/NAME.sql."""
W2, W10, W60, W600 = 2_000, 10_000, 60_000, 600_000
F1_COUNTRIES = ("US", "GB", "DE", "FR", "BR", "IN", "JP", "CA")
F1_MIN = 50.0
CL = ",".join(f"'{c}'" for c in F1_COUNTRIES)
F3_PARTS = 10                       # F3 runs on the first 10 parts (10.5M rows): its output is ~1 row per input row
# The fields of the JSON lines that its query reads, of twelve: name -> type in SQL
JSONL = {"amount": "DOUBLE", "fee": "DOUBLE", "country": "VARCHAR", "mcc": "INTEGER", "event_time": "BIGINT", "is_online": "BOOLEAN"}
# All twelve fields of the CSV, which holds the same payments.
CSV = {"id": "BIGINT", "card_id": "BIGINT", "merchant": "VARCHAR", "amount": "DOUBLE", "fee": "DOUBLE", "country": "VARCHAR", "mcc": "INTEGER",
       "event_time": "BIGINT", "is_online": "BOOLEAN", "note": "VARCHAR", "device": "VARCHAR", "tags": "VARCHAR"}
# workload -> (tables, rows counted from the first table)
TABLES = {"ysb": ["ysb", "ads"], "f1": ["fraud"], "f2": ["fraud"], "f2d": ["fraud"], "f3": ["fraud_s"],
          "jsonl": ["jsonl"], "csv": ["csv"], "tpch_q1": ["lineitem"], "tpch_q6": ["lineitem"],
          "nx1": ["bid"], "nx2": ["bid"], "nx5": ["bid"], "nx5x": ["bid"], "nx7": ["bid"], "nx7x": ["bid"], "nx8": ["person", "auction"], "nx11": ["bid"]}
# The same question of the same payments, as JSON lines and as CSV.
def payments(table):
    return f"""SELECT country, mcc, event_time - event_time % {W60} AS w, count(*) AS n, sum(amount) AS s, min(amount) AS mn,
   max(amount) AS mx, sum(fee) AS f FROM {table} WHERE is_online AND amount > {F1_MIN} AND country IN ({CL})
   GROUP BY country, mcc, event_time - event_time % {W60}"""
SQL = {
 "ysb": f"""SELECT a.campaign_id AS campaign_id, e.event_time - e.event_time % {W10} AS w, count(*) AS n
   FROM ysb e JOIN ads a ON e.ad_id = a.ad_id WHERE e.event_type = 'view' GROUP BY a.campaign_id, e.event_time - e.event_time % {W10}""",
 "f1": f"""SELECT country, mcc, event_time - event_time % {W60} AS w, count(*) AS n, sum(amount) AS s, avg(amount) AS a,
   min(amount) AS mn, max(amount) AS mx, stddev_samp(amount) AS sd
   FROM fraud WHERE amount > {F1_MIN} AND country IN ({CL}) GROUP BY country, mcc, event_time - event_time % {W60}""",
 "jsonl": payments("jsonl"),
 "csv": payments("csv"),
 "f2": f"""SELECT card_id, event_time - event_time % {W600} AS w, count(*) AS n, sum(amount) AS s, max(amount) AS mx
   FROM fraud GROUP BY card_id, event_time - event_time % {W600}""",
 "f2d": f"""SELECT card_id, event_time - event_time % {W600} AS w, count(*) AS n, sum(amount) AS s, max(amount) AS mx,
   count(DISTINCT merchant_id) AS d FROM fraud GROUP BY card_id, event_time - event_time % {W600}""",
 # hopping 10 min / 1 min through 1-min panes, each pane expanded into the 10 windows that hold it
 "f3": f"""SELECT card_id, p - k * {W60} AS w, sum(c) AS n, sum(sa) AS s FROM
   (SELECT card_id, event_time - event_time % {W60} AS p, count(*) AS c, sum(amount) AS sa FROM fraud_s
     GROUP BY card_id, event_time - event_time % {W60}) x CROSS JOIN hop10 GROUP BY card_id, p - k * {W60}""",
 "tpch_q1": """SELECT l_returnflag, l_linestatus, sum(l_quantity) AS sq, sum(l_extendedprice) AS sp,
   sum(l_extendedprice*(1-l_discount)) AS sd, sum(l_extendedprice*(1-l_discount)*(1+l_tax)) AS sc,
   avg(l_quantity) AS aq, avg(l_extendedprice) AS ap, avg(l_discount) AS ad, count(*) AS n
   FROM lineitem WHERE l_shipdate <= DATE '1998-09-02' GROUP BY l_returnflag, l_linestatus""",
 "tpch_q6": """SELECT sum(l_extendedprice*l_discount) AS r FROM lineitem WHERE l_shipdate >= DATE '1994-01-01'
   AND l_shipdate < DATE '1995-01-01' AND l_discount >= 0.045 AND l_discount <= 0.075 AND l_quantity < 24""",
 "nx1": "SELECT auction, bidder, 0.908 * price AS price, dateTime FROM bid",
 "nx2": "SELECT auction, price FROM bid WHERE auction % 123 = 0",
 "nx5": """WITH c AS (SELECT auction, p - k * 2000 AS w, sum(c) AS n FROM
     (SELECT auction, dateTime - dateTime % 2000 AS p, count(*) AS c FROM bid GROUP BY auction, dateTime - dateTime % 2000) x
     CROSS JOIN hop5 GROUP BY auction, p - k * 2000),
   m AS (SELECT w AS mw, max(n) AS mx FROM c GROUP BY w)
   SELECT c.auction AS auction, c.w AS w, c.n AS n FROM c JOIN m ON c.w = m.mw AND c.n = m.mx""",
 # the join-free forms: what q5 and q7 compute before they look up who holds the maximum
 "nx5x": """SELECT w, max(n) AS n FROM (SELECT auction, p - k * 2000 AS w, sum(c) AS n FROM
     (SELECT auction, dateTime - dateTime % 2000 AS p, count(*) AS c FROM bid GROUP BY auction, dateTime - dateTime % 2000) x
     CROSS JOIN hop5 GROUP BY auction, p - k * 2000) y GROUP BY w""",
 "nx7x": f"""SELECT dateTime - dateTime % {W10} AS w, max(price) AS price FROM bid GROUP BY dateTime - dateTime % {W10}""",
 "nx7": f"""WITH m AS (SELECT dateTime - dateTime % {W10} AS mw, max(price) AS mx FROM bid GROUP BY dateTime - dateTime % {W10})
   SELECT b.auction AS auction, b.bidder AS bidder, b.price AS price, b.dateTime AS dateTime FROM bid b JOIN m
   ON b.price = m.mx AND b.dateTime - b.dateTime % {W10} = m.mw""",
 "nx8": f"""SELECT p.id AS id, p.w AS w FROM
   (SELECT id, dateTime - dateTime % {W10} AS w FROM person GROUP BY id, dateTime - dateTime % {W10}) p JOIN
   (SELECT seller, dateTime - dateTime % {W10} AS w FROM auction GROUP BY seller, dateTime - dateTime % {W10}) a
   ON p.id = a.seller AND p.w = a.w""",
 "nx11": f"""SELECT bidder, count(*) AS n, min(dateTime) AS st, max(dateTime) AS en FROM
   (SELECT bidder, dateTime, sum(CASE WHEN pv IS NULL OR dateTime - pv >= {W10} THEN 1 ELSE 0 END)
      OVER (PARTITION BY bidder ORDER BY dateTime RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS sid FROM
     (SELECT bidder, dateTime, lag(dateTime) OVER (PARTITION BY bidder ORDER BY dateTime) AS pv FROM bid) x) y
   GROUP BY bidder, sid""",
}
