#!/usr/bin/env python3
"""Seeded data generators. usage: PEERS_DATA=dir python gen.py [ysb|fraud|tpch|nexmark|keys|jsonl|csv|all] [--rows N] [--parts P]
Layout: $PEERS_DATA/<table>/{zstd,raw}/part-NNNNN.parquet (1,048,576 rows, one row group each)
and $PEERS_DATA/<table>/mem.arrow (Arrow IPC file, uncompressed, same batches; mmap it for zero-copy).
jsonl is JSON lines only: $PEERS_DATA/jsonl/json/part-NNNNN.json; csv is CSV only: $PEERS_DATA/csv/csv/part-NNNNN.csv.
--parts P stops after the first P parts; their rows are those of the whole table. $PEERS_DATA/<generator>.json says what is
there, and a second call makes nothing that is there already."""
import os, sys, time, argparse, json, shutil
import numpy as np, pyarrow as pa, pyarrow.compute as pc, pyarrow.parquet as pq
DATA = os.environ.get("PEERS_DATA", "data")
PART = 1 << 20
VERSION = 1                                       # of the rows: a new one makes all data anew
T0 = 1_700_000_000_000 // 3_600_000 * 3_600_000   # epoch ms, hour aligned

def dic(codes, values):
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), pa.array(values))

class Writer:
    parts = None                                      # stop after that many
    def __init__(self, name):
        self.d = os.path.join(DATA, name); self.i = 0; self.ipc = None; self.rows = 0
        shutil.rmtree(self.d, ignore_errors=True)
        for v in ("zstd", "raw"): os.makedirs(os.path.join(self.d, v), exist_ok=True)
    def write(self, t):
        t = t.combine_chunks()
        if self.ipc is None: self.ipc = pa.ipc.new_file(os.path.join(self.d, "mem.arrow"), t.schema)
        for b in t.to_batches(): self.ipc.write_batch(b)
        for v, c in (("zstd", "zstd"), ("raw", "none")):
            pq.write_table(t, os.path.join(self.d, v, f"part-{self.i:05d}.parquet"), compression=c, row_group_size=PART)
        self.i += 1; self.rows += t.num_rows
    def full(self): return self.parts is not None and self.i >= self.parts
    def close(self): self.ipc.close()

def ysb(n, seed=1):
    rng = np.random.default_rng(seed)
    os.makedirs(os.path.join(DATA, "ads"), exist_ok=True)
    camp = (rng.permutation(1000) // 10).astype(np.int32)
    ads = pa.table({"ad_id": pa.array(np.arange(1000, dtype=np.int32)), "campaign_id": camp})
    pq.write_table(ads, os.path.join(DATA, "ads", "ads.parquet"))
    w = Writer("ysb"); rate = 100_000                 # events per second of event time, in order
    for lo in range(0, n, PART):
        if w.full(): break
        k = min(PART, n - lo)
        w.write(pa.table({
            "user_id": rng.integers(0, 100_000, k, dtype=np.int32),
            "page_id": rng.integers(0, 100, k, dtype=np.int32),
            "ad_id": rng.integers(0, 1000, k, dtype=np.int32),
            "ad_type": dic(rng.integers(0, 5, k), ["banner", "modal", "sponsored-search", "mail", "mobile"]),
            "event_type": dic(rng.integers(0, 3, k), ["view", "click", "purchase"]),
            "event_time": T0 + (np.arange(lo, lo + k, dtype=np.int64) * 1000) // rate}))
    w.close()

COUNTRIES = ["US","GB","DE","FR","ES","IT","NL","PL","SE","NO","DK","FI","IE","PT","GR","CZ","AT","CH","BE","HU",
             "RO","BG","HR","SI","SK","LT","LV","EE","CA","MX","BR","AR","CL","JP","KR","IN","AU","NZ","ZA","NG"]
def fraud(n, seed=2):
    rng = np.random.default_rng(seed); w = Writer("fraud")
    N = 1_000_000; s = 0.8; perm = rng.permutation(N).astype(np.int64)
    M = 50_000; mperm = rng.permutation(M).astype(np.int32)
    mcc_of = rng.choice(np.arange(3000, 9000, dtype=np.int32), 300, replace=False)[rng.integers(0, 300, M)]
    cp = 1.0 / np.arange(1, 41) ** 0.9; cp = np.cumsum(cp / cp.sum())
    span = 3_600_000
    def zipf(m, k, s):
        u = rng.random(k)
        return np.minimum((((m ** (1 - s) - 1) * u + 1) ** (1 / (1 - s))).astype(np.int64) - 1, m - 1)
    for lo in range(0, n, PART):
        if w.full(): break
        k = min(PART, n - lo)
        mer = mperm[zipf(M, k, 0.7)]
        et = T0 + (np.arange(lo, lo + k, dtype=np.int64) * span) // n
        et = et - np.where(rng.random(k) < 0.3, rng.integers(0, 2000, k), 0)      # 30% late, by < 2 s
        et = np.maximum(et, T0)
        w.write(pa.table({
            "card_id": 4_000_000_000_000_000 + perm[zipf(N, k, s)] * 7919,
            "merchant_id": mer,
            "amount": np.round(rng.lognormal(3.2, 1.1, k), 2),
            "country": dic(np.minimum(np.searchsorted(cp, rng.random(k)), 39), COUNTRIES),
            "mcc": mcc_of[mer],
            "event_time": et,
            "is_online": pa.array(rng.random(k) < 0.35)}))
    w.close()

def tpch(n, seed=3):
    """lineitem-like, float64 money, date32 shipdate. n ~ 6M * SF."""
    rng = np.random.default_rng(seed); w = Writer("lineitem")
    d0 = (np.datetime64("1992-01-02") - np.datetime64("1970-01-01")).astype(int)
    cut = (np.datetime64("1995-06-17") - np.datetime64("1970-01-01")).astype(int)
    for lo in range(0, n, PART):
        if w.full(): break
        k = min(PART, n - lo)
        qty = rng.integers(1, 51, k).astype(np.float64)
        ship = (d0 + rng.integers(0, 2526, k)).astype(np.int32)
        rec = ship + rng.integers(1, 31, k)
        rf = np.where(rec <= cut, rng.integers(0, 2, k), 2)
        w.write(pa.table({
            "l_quantity": qty,
            "l_extendedprice": np.round(qty * rng.uniform(900, 2100, k), 2),
            "l_discount": rng.integers(0, 11, k) / 100.0,
            "l_tax": rng.integers(0, 9, k) / 100.0,
            "l_returnflag": dic(rf, ["A", "R", "N"]),
            "l_linestatus": dic((ship > cut).astype(np.int32), ["F", "O"]),
            "l_shipdate": pa.array(ship).cast(pa.date32())}))
    w.close()

def nexmark(n, seed=4):
    """Official proportions 1 person : 3 auctions : 46 bids, hot ratios as in the reference generator; 20k events/s."""
    rng = np.random.default_rng(seed); rate = 20_000
    B, A, P = Writer("bid"), Writer("auction"), Writer("person")
    chans = ["Google", "Facebook", "Baidu", "Apple"] + [f"channel-{i}" for i in range(10000)]
    first = np.array(["peter","paul","luke","john","saul","vicky","kate","julie","sarah","deiter","walter"])
    states = ["AZ","CA","ID","OR","WA","WY"]
    step = PART // 50 * 50 + 50
    buf = {"B": [], "A": [], "P": []}
    def flush(W, key, last=False):
        if not buf[key]: return
        t = pa.concat_tables(buf[key]).unify_dictionaries()
        while t.num_rows >= PART or (last and t.num_rows):
            W.write(t.slice(0, PART)); t = t.slice(PART)
        buf[key] = [t] if t.num_rows else []
    for lo in range(0, n, step):
        ev = np.arange(lo, min(lo + step, n), dtype=np.int64)
        ep, off = ev // 50, ev % 50
        ts = T0 + ev * 1000 // rate
        m = off == 0; k = int(m.sum())
        buf["P"].append(pa.table({"id": 1000 + ep[m], "name": dic(rng.integers(0, 11, k), first),
            "state": dic(rng.integers(0, 6, k), states), "dateTime": ts[m]}))
        m = (off >= 1) & (off <= 3); k = int(m.sum()); e = ep[m]
        people = e + 1; act = np.minimum(people, 1000)
        hot = (e // 100) * 100
        sel = people - act + (rng.random(k) * (act + 10)).astype(np.int64)
        buf["A"].append(pa.table({"id": 1000 + e * 3 + off[m] - 1,
            "seller": 1000 + np.where(rng.integers(0, 4, k) > 0, hot, sel),
            "category": 10 + rng.integers(0, 5, k),
            "initialBid": (np.power(10.0, rng.random(k) * 6) * 100).round().astype(np.int64),
            "expires": ts[m] + rng.integers(1, 20_000, k), "dateTime": ts[m]}))
        m = off >= 4; k = int(m.sum()); e = ep[m]
        last = e * 3 + 2; hot = (last // 100) * 100; mn = np.maximum(last - 100, 0)
        au = np.where(rng.integers(0, 2, k) > 0, hot, mn + (rng.random(k) * (last - mn + 1 + 10)).astype(np.int64))
        people = e + 1; act = np.minimum(people, 1000)
        bd = np.where(rng.integers(0, 4, k) > 0, (e // 100) * 100 + 1, people - act + (rng.random(k) * (act + 10)).astype(np.int64))
        ch = np.where(rng.integers(0, 2, k) > 0, rng.integers(0, 4, k), 4 + rng.integers(0, 10000, k))
        buf["B"].append(pa.table({"auction": 1000 + au, "bidder": 1000 + bd,
            "price": (np.power(10.0, rng.random(k) * 6) * 100).round().astype(np.int64),
            "channel": dic(ch, chans), "dateTime": ts[m]}))
        for W, key in ((B, "B"), (A, "A"), (P, "P")): flush(W, key)
    for W, key in ((B, "B"), (A, "A"), (P, "P")): flush(W, key, True); W.close()

def keys(n, seed=5):
    """Every row has a string key of its own; 50,000 rows a second of event time, in order. For memory.py, Parquet only."""
    rng = np.random.default_rng(seed); d = os.path.join(DATA, "keys", "zstd")
    shutil.rmtree(d, ignore_errors=True); os.makedirs(d)
    for i, lo in enumerate(range(0, n, PART)):
        row = np.arange(lo, min(lo + PART, n), dtype=np.uint64)
        key = (row * np.uint64(0x9E3779B97F4A7C15)).astype("<u8").tobytes().hex()      # an odd factor: no two rows share a key
        t = pa.table({"key": pa.array([key[j:j + 16] for j in range(0, len(key), 16)]), "amount": np.round(rng.lognormal(3.2, 1.1, len(row)), 2),
                      "event_time": T0 + row.astype(np.int64) * 1000 // 50_000})
        pq.write_table(t, os.path.join(d, f"part-{i:05d}.parquet"), compression="zstd", row_group_size=PART, use_dictionary=["amount"])

def payments(n, seed=6):
    """Payments of 12 fields as text, a part at a time, in order: number of the part and the fields."""
    rng = np.random.default_rng(seed)
    cp = 1.0 / np.arange(1, 41) ** 0.9; cp = np.cumsum(cp / cp.sum())
    mccs = rng.choice(np.arange(3000, 9000), 300, replace=False)
    notes = pa.array(["", "paid in the shop", "gift", "Rechnung beglichen", "second attempt, first card refused", "caf\u00e9 \u2615"])
    devices = pa.array([f'{{"os":"{o}","version":[{v},{v % 7}],"rooted":{r}}}' for o in ("android", "ios", "web") for v in range(9, 18) for r in ("true", "false")])
    tags = pa.array(["[]", '["new"]', '["vip","eu"]', '["chip","pin",2]'])
    pick = lambda values, k: values.take(pa.array(rng.integers(0, len(values), k)))
    for i, lo in enumerate(range(0, n, PART)):
        if Writer.parts is not None and i >= Writer.parts: break
        k = min(PART, n - lo); row = np.arange(lo, lo + k, dtype=np.int64)
        amount = np.round(rng.lognormal(3.2, 1.1, k), 2)
        text = lambda values: pa.array(values).cast(pa.string())
        yield i, {"id": text(row), "card_id": text(4_000_000_000_000_000 + rng.integers(0, 1_000_000, k) * 7919),
            "merchant": pc.binary_join_element_wise("Store ", text(rng.integers(0, 50_000, k)), ""),
            "amount": text(amount), "fee": text(np.round(amount * 0.029 + 0.3, 2)),
            "country": pa.array(COUNTRIES).take(pa.array(np.minimum(np.searchsorted(cp, rng.random(k)), 39))),
            "mcc": text(mccs[rng.integers(0, 300, k)]), "event_time": text(T0 + row * 3_600_000 // n),
            "is_online": text(rng.random(k) < 0.35), "note": pick(notes, k), "device": pick(devices, k), "tags": pick(tags, k)}

def text_parts(table, extension):
    """an empty folder of a table that is text, and what writes a part of it: texts that lie one behind the other"""
    d = os.path.join(DATA, table, extension); shutil.rmtree(d, ignore_errors=True); os.makedirs(d)
    def write(i, head, *pieces):
        lines = pc.binary_join_element_wise(*pieces, "")                                # the last argument is the separator
        with open(os.path.join(d, f"part-{i:05d}.{extension}"), "wb") as f: f.write(head); f.write(lines.buffers()[2])
    return write

def jsonl(n):
    """Payments as JSON lines, one file a part, about 260 bytes a record."""
    write = text_parts("jsonl", "json"); strings = ("merchant", "country", "note")
    for i, fields in payments(n):
        pieces, before = [], "{"
        for name, values in fields.items():
            quote = '"' if name in strings else ""
            pieces += [f'{before}"{name}":{quote}', values]; before = quote + ","
        write(i, b"", *pieces, "}\n")

def csv(n):
    """The same payments as CSV, one file a part, about 160 bytes a record; quotes where there is a comma or a quote."""
    write = text_parts("csv", "csv")
    def quoted(values):
        special = pc.match_substring_regex(values, '[,"]')
        return pc.if_else(special, pc.binary_join_element_wise('"', pc.replace_substring(values, '"', '""'), '"', ""), values)
    for i, fields in payments(n):
        columns = [quoted(values) if name in ("note", "device", "tags") else values for name, values in fields.items()]
        pieces = [x for values in columns for x in (values, ",")]
        write(i, (",".join(fields) + "\n").encode(), *pieces[:-1], "\n")

MAKERS = {"ysb": (ysb, 50_000_000), "fraud": (fraud, 50_000_000), "tpch": (tpch, 30_000_000), "nexmark": (nexmark, 20_000_000), "keys": (keys, 20_000_000), "jsonl": (jsonl, 4 * PART), "csv": (csv, 4 * PART)}
CUT = ("ysb", "fraud", "tpch", "jsonl", "csv")                 # those that --parts can stop
def make(which, rows=None, parts=None):
    """makes one data set unless it is there already, whole or at least as many parts of it; True if it had to"""
    maker, whole = MAKERS[which]; n = rows or whole; parts = (parts or None) if which in CUT else None
    mark = os.path.join(DATA, which + ".json"); want = {"version": VERSION, "rows": n}
    try: have = json.load(open(mark))
    except (OSError, ValueError): have = {}
    enough = have.get("parts") is None or (parts is not None and have["parts"] >= parts)
    if {k: have.get(k) for k in want} == want and enough: return False
    os.makedirs(DATA, exist_ok=True)
    if os.path.exists(mark): os.remove(mark)
    Writer.parts = parts; maker(n)
    json.dump({**want, "parts": parts}, open(mark, "w")); return True

if __name__ == "__main__":
    ap = argparse.ArgumentParser(); ap.add_argument("which", nargs="*", default=["all"]); ap.add_argument("--rows", type=int); ap.add_argument("--parts", type=int, default=0)
    a = ap.parse_args()
    for w in (MAKERS if "all" in a.which else a.which):
        t = time.time()
        if make(w, a.rows, a.parts): print(f"# made {w} in {time.time()-t:.1f} s", file=sys.stderr, flush=True)
