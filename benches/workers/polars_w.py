"""PEERS_POLARS=eager|lazy|streaming"""
MODE = __import__("os").environ.get("PEERS_POLARS", "streaming")
import os
os.environ["POLARS_MAX_THREADS"] = os.environ.get("PEERS_THREADS", "2")
from proto import *
import polars as pl
from polars import col as c
from datetime import date
fr = {}
def src_frame(t, src):
    if src == "mem":
        if t not in fr: fr[t] = pl.from_arrow(mem_table(t), rechunk=False)
        return fr[t].lazy()
    types = {"DOUBLE": pl.Float64, "VARCHAR": pl.String, "INTEGER": pl.Int32, "BIGINT": pl.Int64, "BOOLEAN": pl.Boolean}
    if src == "json": return pl.scan_ndjson(files(t, src), schema={name: types[sql] for name, sql in JSONL.items()})
    if src == "csv": return pl.scan_csv(files(t, src), schema={name: types[sql] for name, sql in CSV.items()})
    return pl.scan_parquet(files(t, src))
def win(x, w): return (c(x) - c(x) % w).alias("w")
def q_ysb(e, ads):
    return e.filter(c("event_type") == "view").join(ads, on="ad_id").group_by("campaign_id", win("event_time", W10)).agg(pl.len().alias("n"))
def q_f1(e):
    a = c("amount")
    return (e.filter((a > F1_MIN) & c("country").is_in(list(F1_COUNTRIES))).group_by("country", "mcc", win("event_time", W60))
        .agg(pl.len().alias("n"), a.sum().alias("s"), a.mean().alias("a"), a.min().alias("mn"), a.max().alias("mx"), a.std().alias("sd")))
def q_csv(e): return q_jsonl(e)
def q_jsonl(e):
    a = c("amount")
    return (e.filter(c("is_online") & (a > F1_MIN) & c("country").is_in(list(F1_COUNTRIES))).group_by("country", "mcc", win("event_time", W60))
        .agg(pl.len().alias("n"), a.sum().alias("s"), a.min().alias("mn"), a.max().alias("mx"), c("fee").sum().alias("f")))
def q_f2(e): return e.group_by("card_id", win("event_time", W600)).agg(pl.len().alias("n"), c("amount").sum().alias("s"), c("amount").max().alias("mx"))
def q_f2d(e): return e.group_by("card_id", win("event_time", W600)).agg(pl.len().alias("n"), c("amount").sum().alias("s"), c("amount").max().alias("mx"), c("merchant_id").n_unique().alias("d"))
def hop(k): return pl.LazyFrame({"k": pl.Series(range(k), dtype=pl.Int64)})
def q_f3(e):
    p = e.group_by("card_id", win("event_time", W60)).agg(pl.len().alias("n"), c("amount").sum().alias("s"))
    return p.join(hop(10), how="cross").group_by("card_id", (c("w") - c("k") * W60).alias("w")).agg(c("n").sum(), c("s").sum())
def q_tpch_q1(l):
    dp = c("l_extendedprice") * (1 - c("l_discount"))
    return (l.filter(c("l_shipdate") <= date(1998, 9, 2)).group_by("l_returnflag", "l_linestatus").agg(c("l_quantity").sum().alias("sq"),
      c("l_extendedprice").sum().alias("sp"), dp.sum().alias("sd"), (dp * (1 + c("l_tax"))).sum().alias("sc"), c("l_quantity").mean().alias("aq"),
      c("l_extendedprice").mean().alias("ap"), c("l_discount").mean().alias("ad"), pl.len().alias("n")))
def q_tpch_q6(l):
    return l.filter((c("l_shipdate") >= date(1994, 1, 1)) & (c("l_shipdate") < date(1995, 1, 1)) & (c("l_discount") >= 0.045)
      & (c("l_discount") <= 0.075) & (c("l_quantity") < 24)).select((c("l_extendedprice") * c("l_discount")).sum().alias("r"))
def q_nx1(b): return b.select("auction", "bidder", (0.908 * c("price")).alias("price"), "dateTime")
def q_nx2(b): return b.filter(c("auction") % 123 == 0).select("auction", "price")
def q_nx5(b):
    p = b.group_by("auction", (c("dateTime") - c("dateTime") % 2000).alias("w")).agg(pl.len().alias("n"))
    x = p.join(hop(5), how="cross").group_by("auction", (c("w") - c("k") * 2000).alias("w")).agg(c("n").sum())
    return x.join(x.group_by("w").agg(c("n").max()), on=["w", "n"])
def q_nx5x(b):
    p = b.group_by("auction", (c("dateTime") - c("dateTime") % 2000).alias("w")).agg(pl.len().alias("n"))
    return p.join(hop(5), how="cross").group_by("auction", (c("w") - c("k") * 2000).alias("w")).agg(c("n").sum()).group_by("w").agg(c("n").max())
def q_nx7x(b): return b.group_by(win("dateTime", W10)).agg(c("price").max())
def q_nx7(b):
    x = b.with_columns(win("dateTime", W10))
    return x.join(x.group_by("w").agg(c("price").max()), on=["w", "price"]).select("auction", "bidder", "price", "dateTime")
def q_nx8(p, a):
    return p.select("id", win("dateTime", W10)).unique().join(a.select(c("seller").alias("id"), win("dateTime", W10)).unique(), on=["id", "w"])
def q_nx11(b):
    return (b.select("bidder", "dateTime").sort("bidder", "dateTime")
      .with_columns((((c("dateTime") - c("dateTime").shift(1)) >= W10) | (c("bidder") != c("bidder").shift(1))).fill_null(True).cast(pl.Int64).cum_sum().alias("sid"))
      .group_by("bidder", "sid").agg(pl.len().alias("n"), c("dateTime").min().alias("st"), c("dateTime").max().alias("en")).drop("sid"))
def run(q, src):
    f = globals()["q_" + q]; fs = [src_frame(t, src) for t in TABLES[q]]
    if MODE == "eager":
        if src == "mem":
            return lambda: f(*fs).collect(engine="in-memory", optimizations=pl.QueryOptFlags.none())
        return lambda: f(*[pl.read_parquet(files(t, src)).lazy() for t in TABLES[q]]).collect(engine="in-memory", optimizations=pl.QueryOptFlags.none())
    eng = "streaming" if MODE == "streaming" else "in-memory"
    return lambda: f(*fs).collect(engine=eng)
def p_f1(e):
    a = c("amount")
    return (e.filter((a > F1_MIN) & c("country").is_in(list(F1_COUNTRIES))).group_by("country", "mcc", win("event_time", W60))
        .agg(pl.len().alias("n"), a.sum().alias("s"), (a * a).sum().alias("ss"), a.min().alias("mn"), a.max().alias("mx")))
def p_f2d(e): return e.group_by("card_id", "merchant_id", win("event_time", W600)).agg(pl.len().alias("n"), c("amount").sum().alias("s"), c("amount").max().alias("mx"))
def p_f3(e): return e.group_by("card_id", win("event_time", W60)).agg(pl.len().alias("n"), c("amount").sum().alias("s"))
def p_nx5x(e): return e.group_by("auction", win("dateTime", W2)).agg(pl.len().alias("n"))
def p_tpch_q1(l):
    dp = c("l_extendedprice") * (1 - c("l_discount"))
    return (l.filter(c("l_shipdate") <= date(1998, 9, 2)).group_by("l_returnflag", "l_linestatus").agg(c("l_quantity").sum().alias("sq"),
      c("l_extendedprice").sum().alias("sp"), dp.sum().alias("sd"), (dp * (1 + c("l_tax"))).sum().alias("sc"), c("l_discount").sum().alias("di"), pl.len().alias("n")))
S = lambda *names: [c(n).sum() for n in names]
def m_nx11(p):
    return (p.sort("bidder", "st").with_columns((((c("st") - c("en").shift(1)) >= W10) | (c("bidder") != c("bidder").shift(1))).fill_null(True).cast(pl.Int64).cum_sum().alias("sid"))
      .group_by("bidder", "sid").agg(c("n").sum(), c("st").min(), c("en").max()).drop("sid"))
MERGE = {"ysb": lambda p: p.group_by("campaign_id", "w").agg(S("n")), "f2": lambda p: p.group_by("card_id", "w").agg(*S("n", "s"), c("mx").max()),
  "f1": lambda p: p.group_by("country", "mcc", "w").agg(*S("n", "s", "ss"), c("mn").min(), c("mx").max()),
  "f2d": lambda p: p.group_by("card_id", "merchant_id", "w").agg(*S("n", "s"), c("mx").max()), "f3": lambda p: p.group_by("card_id", "w").agg(S("n", "s")),
  "tpch_q1": lambda p: p.group_by("l_returnflag", "l_linestatus").agg(S("sq", "sp", "sd", "sc", "di", "n")), "tpch_q6": lambda p: p.select(S("r")),
  "nx5x": lambda p: p.group_by("auction", "w").agg(S("n")), "nx7x": lambda p: p.group_by("w").agg(c("price").max()), "nx11": m_nx11}
lit_w = lambda w: pl.lit(w, pl.Int64).alias("w")
FINAL = {"f1": lambda d, w: d.select("country", "mcc", "w", "n", "s", (c("s") / c("n")).alias("a"), "mn", "mx",
    pl.when(c("n") > 1).then(((c("ss") - c("s") * c("s") / c("n")) / (c("n") - 1)).sqrt()).alias("sd")),
  "f2d": lambda d, w: d.group_by("card_id", "w").agg(*S("n", "s"), c("mx").max(), pl.len().alias("d")),
  "f3": lambda d, w: d.group_by("card_id").agg(S("n", "s")).with_columns(lit_w(w)),
  "nx5x": lambda d, w: d.group_by("auction").agg(S("n")).select(c("n").max(), lit_w(w)),
  "tpch_q1": lambda d, w: d.select("l_returnflag", "l_linestatus", "sq", "sp", "sd", "sc", (c("sq") / c("n")).alias("aq"), (c("sp") / c("n")).alias("ap"), (c("di") / c("n")).alias("ad"), "n")}
class Micro:
    def __init__(s, q):
        s.q = q; s.ads = [pl.from_arrow(mem_table("ads")).lazy()] if q == "ysb" else []
        s.e = "streaming" if MODE == "streaming" else "in-memory"; s.part = globals().get("p_" + q) or globals()["q_" + q]
    def partial(s, b): return T(s.part(pl.from_arrow(b).lazy(), *s.ads).collect(engine=s.e))
    def joined(s, parts): return T(pl.concat([x.df for x in parts], rechunk=False))
    def merge(s, parts): return T(MERGE[s.q](s.joined(parts).df.lazy()).collect(engine=s.e))
    def final(s, t, w=None):
        if s.q not in FINAL: return t.df.to_arrow()
        return FINAL[s.q](t.df.lazy(), w).collect(engine=s.e).to_arrow()
class T:                                                 # looks enough like a pyarrow table for loops.py
    def __init__(s, df): s.df = df; s.num_rows = df.height
    def column(s, n): return s.df[n].to_arrow()
    def filter(s, m): return T(s.df.filter(pl.Series(pl.from_arrow(m))))
serve("polars-" + MODE, pl.__version__, run, Micro)
