"""Makes the small input files of the SQL cases: `data.py DIR`.

Seeded, so every machine gets the same rows. Sizes are chosen for batches of one row: most tables have 2,000 to 3,000
rows and one, `ticks`, has 20,000, so that a batch of 8,192 rows is not the whole input. Parquet is written in row groups
of 700 rows, which no batch size divides.

  events         in time order, every column type, NULLs everywhere; `seq` is the row's identity, `pos` its place in the file
  events_ooo     the same rows, each displaced by less than 2 s
  events_late    the same rows, one in twelve up to 20 s late
  events_days/   the same rows in three files that follow each other in time
  parts/         the same rows dealt to three files, each in time order (column `part`)
  late_parts/    two files, each displaced and partly late (column `part`)
  events_nullts  500 rows, some without event time
  old            400 rows around 1970-01-01 and before
  ticks          20,000 trades: symbol, price, quantity; `ticks_whole` has them in one row group, so that batches are large
  bids           3,000 Nexmark bids
  payments       2,500 payments, with the bounded tables cards, terminals, merchants, rates
  simple.*       a few plain columns as JSON lines, CSV, Arrow IPC, some compressed
  models/        models of XGBoost, LightGBM and ONNX with five features
"""

import csv
import decimal
import gzip
import io
import json
import pathlib
import shutil
import sys

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet as pq

START = 1_710_028_800_000  # 2024-03-10T00:00:00Z in ms
WORDS = ["alder", "birch", "cedar", "elm", "fir", "Zürich", "naïve", "東京", "", "Oak Tree", "pine-nut", "x"]


def nulls(rng, values, share=0.08):
    """The values as a list, some replaced by None."""
    gone = rng.random(len(values)) < share
    return [None if g else v for v, g in zip(values, gone)]


def columns_of_every_type(rng, n):
    """Arrow columns of all types that a Parquet file brings."""
    ints = {}
    for bits in (8, 16, 32, 64):
        low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
        signed = rng.integers(low, high, n, endpoint=True, dtype=f"int{bits}")
        unsigned = rng.integers(0, (1 << bits) - 1, n, endpoint=True, dtype=f"uint{bits}")
        signed[:2], unsigned[:2] = [low, high], [0, (1 << bits) - 1]
        ints[f"i{bits}"] = pa.array(nulls(rng, signed.tolist()), getattr(pa, f"int{bits}")())
        ints[f"u{bits}"] = pa.array(nulls(rng, unsigned.tolist()), getattr(pa, f"uint{bits}")())
    nasty = rng.choice(
        [np.nan, np.inf, -np.inf, -0.0, 0.0, 5e-324, 2.2e-308, 1e308, -1e308, 9007199254740993.0, 1.0, -1.5, 1e-300], n
    )
    rounding = rng.choice([1e16, -1e16, 1.0, 1e-3, 3.14, -2.71, 1e100, -1e100], n)
    cents = rng.integers(-50_000, 5_000_000, n)

    def dec(precision, scale, low, high):
        values = [decimal.Decimal(int(v)).scaleb(-scale) for v in rng.integers(low, high, n)]
        return pa.array(nulls(rng, values), pa.decimal128(precision, scale))

    micros = rng.integers(-(10**14), 2 * 10**15, n)
    words = [WORDS[i] for i in rng.integers(0, len(WORDS), n)]
    users = rng.integers(1, 60, n)
    acts = rng.choice(["view", "edit", "buy", "Quit"], n)
    return {
        **ints,
        "q": pa.array(rng.integers(-20, 20, n), pa.int32()),  # no NULL, has zeros
        "f32": pa.array(nulls(rng, rng.normal(0, 100, n).astype("float32").tolist()), pa.float32()),
        "f64": pa.array(nulls(rng, rng.normal(10, 1000, n).tolist()), pa.float64()),
        "money": pa.array(nulls(rng, (cents / 100).tolist()), pa.float64()),
        "nasty": pa.array(nulls(rng, nasty.tolist()), pa.float64()),
        "cancel": pa.array(rounding, pa.float64()),
        "unit": pa.array(rng.random(n), pa.float64()),
        "d9": dec(9, 2, -(10**6), 10**6),
        "d18": dec(18, 4, -(10**12), 10**12),
        "d38": dec(38, 6, -(2**62), 2**62),
        "b": pa.array(nulls(rng, (rng.random(n) < 0.6).tolist()), pa.bool_()),
        "day": pa.array(nulls(rng, rng.integers(-3000, 20000, n).tolist()), pa.int32()).cast(pa.date32()),
        "tod_ms": pa.array(nulls(rng, rng.integers(0, 86_400_000, n).tolist()), pa.int32()).cast(pa.time32("ms")),
        "tod_us": pa.array(nulls(rng, rng.integers(0, 86_400_000_000, n).tolist()), pa.int64()).cast(pa.time64("us")),
        "ts_s": pa.array(nulls(rng, (micros // 10**6).tolist()), pa.int64()).cast(pa.timestamp("s")),
        "ts_us": pa.array(nulls(rng, micros.tolist()), pa.int64()).cast(pa.timestamp("us")),
        "ts_ns": pa.array(nulls(rng, (micros * 1000).tolist()), pa.int64()).cast(pa.timestamp("ns")),
        "ts_utc": pa.array(nulls(rng, micros.tolist()), pa.int64()).cast(pa.timestamp("us", "UTC")),
        "s": pa.array(nulls(rng, words), pa.string()),
        "ls": pa.array(nulls(rng, words[::-1]), pa.large_string()),
        "dict": pa.array(nulls(rng, words), pa.string()).dictionary_encode(),
        "txt": pa.array(nulls(rng, [f"user-{u}|{a}|https://ex.org/{a}/{u % 7}?q={u * 3}" for u, a in zip(users, acts)])),
        "bin": pa.array(nulls(rng, [rng.bytes(int(k)) for k in rng.integers(0, 9, n)]), pa.binary()),
        "li": pa.array(
            nulls(rng, [nulls(rng, rng.integers(0, 99, int(k)).tolist(), 0.2) for k in rng.integers(0, 4, n)]),
            pa.list_(pa.int32()),
        ),
        "st": pa.array(
            nulls(rng, [{"a": int(a), "b": WORDS[a % 7] if a % 5 else None} for a in rng.integers(0, 50, n)]),
            pa.struct([("a", pa.int32()), ("b", pa.string())]),
        ),
    }


def events(rng, n):
    """The main table: about 17 minutes, times in ms with repeats, keys of several kinds."""
    ts = START + np.sort(rng.integers(0, 1_000_000, n))
    ts[100:104] = ts[100]
    edge = np.flatnonzero(ts % 10_000 < 40)  # rows on the very edges of windows
    ts[edge] -= ts[edge] % 10_000
    ts[edge[::2]] -= 1
    ts.sort()
    key = rng.zipf(1.4, n) % 9
    table = {
        "seq": pa.array(np.arange(n), pa.int64()),
        "pos": pa.array(np.arange(n), pa.int64()),
        "ts": pa.array(ts, pa.int64()).cast(pa.timestamp("ms")),
        "k": pa.array(nulls(rng, key.tolist(), 0.05), pa.int32()),
        "name": pa.array(nulls(rng, [WORDS[i] for i in key], 0.05), pa.string()),
        "big": pa.array((key.astype("int64") * 1_000_000_007 - 4) * 1_000, pa.int64()),
        "fk": pa.array(np.where(key == 0, rng.choice([0.0, -0.0], n), key * 0.5), pa.float64()),  # a double as key
    }
    return pa.table({**table, **columns_of_every_type(rng, n)})


def displace(rng, table, late_share=0.0, max_ms=2000, late_ms=20_000):
    """The rows in order of time + a random delay below `max_ms` (or, for some, `late_ms`); `pos` counts anew."""
    ts = table["ts"].cast(pa.int64()).to_numpy()
    delay = rng.integers(0, max_ms, len(ts))
    late = rng.random(len(ts)) < late_share
    delay[late] = rng.integers(max_ms, late_ms, late.sum())
    table = table.take(pa.array(np.argsort(ts + delay, kind="stable")))
    return renumber(table)


def renumber(table):
    """`pos` as the place in this table."""
    return table.set_column(table.schema.get_field_index("pos"), "pos", pa.array(np.arange(len(table)), pa.int64()))


def with_part(table, part):
    """The table with a column that names its file."""
    return renumber(table).append_column("part", pa.array(np.full(len(table), part), pa.int32()))


def old(rng, n=400):
    """Times before and around the epoch, in microseconds."""
    us = np.sort(rng.integers(-3 * 10**8, 10**8, n))
    us[n // 2] = 0
    us.sort()
    return pa.table({
        "pos": pa.array(np.arange(n)),
        "ts": pa.array(us).cast(pa.timestamp("us")),
        "k": pa.array(rng.integers(0, 3, n), pa.int32()),
        "v": pa.array(rng.integers(-100, 100, n), pa.int64()),
    })


def ticks(rng, n=20_000):
    """Trades: 30 minutes, five symbols, prices as a random walk in cents."""
    ts = START + np.sort(rng.integers(0, 1_800_000, n))
    symbol = rng.integers(0, 5, n)
    price = np.maximum(100, 10_000 + np.cumsum(rng.integers(-30, 31, n))) / 100
    return pa.table({
        "pos": pa.array(np.arange(n)),
        "ts": pa.array(ts).cast(pa.timestamp("ms")),
        "symbol": pa.array([["ACME", "BOLT", "CRUX", "DYNE", "ECHO"][i] for i in symbol]),
        "price": pa.array(price),
        "qty": pa.array(rng.integers(1, 500, n), pa.int32()),
        "buyer": pa.array(rng.integers(1, 4000, n), pa.int64()),
    })


def bids(rng, n=3000):
    """Nexmark bids: 60 s, few hot auctions."""
    ts = START + np.sort(rng.integers(0, 60_000, n))
    auction = 1000 + np.where(rng.random(n) < 0.5, 100 * rng.integers(0, 3, n), rng.integers(0, 120, n))
    channel = rng.choice(["Google", "Facebook", "Baidu", "Apple", "channel-17"], n)
    return pa.table({
        "auction": pa.array(auction, pa.int64()),
        "bidder": pa.array(1000 + rng.integers(0, 200, n), pa.int64()),
        "price": pa.array(np.exp(rng.normal(6, 2, n)).astype("int64") + 1),
        "channel": pa.array(channel),
        "url": pa.array([f"https://www.nexmark.com/a{a % 9}/b{a % 5}/item.htm?query=1&channel_id={a * 31}" for a in auction]),
        "dateTime": pa.array(ts).cast(pa.timestamp("ms")),
        "extra": pa.array([f"x{c}" * 3 for c in rng.integers(0, 99, n)]),
    })


def payments_and_dims(rng, n=2500):
    """A stream of payments and the bounded tables that enrich it."""
    ts = START + np.sort(rng.integers(0, 600_000, n))
    terminal_ids = rng.integers(10**9, 10**12, 60)
    merchants = [f"shop {i}" for i in range(25)] + ["Café Ä", ""]
    currencies, countries = ["EUR", "USD", "GBP", "JPY"], ["DE", "US", "GB", "JP", "FR"]
    yield "payments", pa.table({
        "pos": pa.array(np.arange(n)),
        "ts": pa.array(ts).cast(pa.timestamp("ms")),
        "card": pa.array(nulls(rng, rng.integers(1, 200, n).tolist(), 0.04), pa.int32()),
        "terminal": pa.array(nulls(rng, rng.choice(terminal_ids, n).tolist(), 0.04), pa.int64()),
        "merchant": pa.array(nulls(rng, rng.choice(merchants, n).tolist(), 0.04)),
        "currency": pa.array(nulls(rng, rng.choice(currencies, n).tolist(), 0.04)).dictionary_encode(),
        "country": pa.array(rng.choice(countries, n).tolist()),
        "amount": pa.array([decimal.Decimal(int(c)).scaleb(-2) for c in rng.integers(50, 90_000, n)], pa.decimal128(10, 2)),
    })
    cards = [c for c in range(1, 190) if c % 11]
    yield "cards", pa.table({
        "card": pa.array(cards, pa.int32()),
        "tier": pa.array(nulls(rng, [["basic", "gold", "black"][c % 3] for c in cards], 0.1)),
        "card_limit": pa.array([100 * (c % 7 + 1) for c in cards], pa.int64()),
    })
    known = sorted(set(terminal_ids.tolist()))[:45]
    yield "terminals", pa.table({
        "terminal_id": pa.array([*known, None, 5], pa.int64()),
        "city": pa.array([*(["Berlin", "Boston", "Bath", None][i % 4] for i in range(45)), "nowhere", "void"]),
        "lat": pa.array([*(40 + i / 8 for i in range(45)), None, -1.0]),
    })
    yield "merchants", pa.table({  # a NULL key, and 'shop 3' and 'shop 4' more than once
        "merchant": pa.array([*merchants[:20], "Café Ä", "", None, None, "shop 3", "shop 3", "shop 4"]),
        "mcc": pa.array([*(5000 + i for i in range(20)), 1, 2, 3, 4, 9003, 9103, 9004], pa.int16()),
    })
    pairs = [(c, l) for c in currencies for l in countries if (len(c) + ord(l[0])) % 3]
    yield "rates", pa.table({  # a composite key
        "currency": pa.array([c for c, _ in pairs] + [None]),
        "country": pa.array([l for _, l in pairs] + ["DE"]),
        "rate": pa.array([decimal.Decimal(10_000 + 37 * i).scaleb(-4) for i in range(len(pairs) + 1)], pa.decimal128(9, 4)),
    })


def plain_text(table, out):
    """A few plain columns of `events` as JSON lines, CSV and Arrow files."""
    table = table.select(["seq", "ts", "k", "money", "q", "b", "day", "txt"]).slice(0, 2000)
    rows = [{**r, "ts": r["ts"].isoformat(" ", "milliseconds")} for r in table.to_pylist()]
    for r in rows:
        r["day"] = r["day"] and r["day"].isoformat()
    lines = "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows).encode()
    (out / "simple.jsonl").write_bytes(lines)
    (out / "simple_json.txt").write_bytes(lines)
    (out / "simple.jsonl.gz").write_bytes(gzip.compress(lines, mtime=0))
    (out / "simple.jsonl.zst").write_bytes(pa.compress(lines, codec="zstd", asbytes=True))
    nested = "".join(
        json.dumps({"seq": r["seq"], "ts": r["ts"], "who": {"id": r["k"], "tags": [r["q"], r["q"] + 1]}}) + "\n" for r in rows[:800]
    )
    (out / "nested.jsonl").write_text(nested)
    sparse = "".join(json.dumps({c: v for c, v in r.items() if v is not None}) + "\n" for r in rows[:800])
    (out / "sparse.jsonl").write_text(sparse)  # NULL fields left out, as many producers do
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.column_names)
    for r in rows:
        writer.writerow(["" if v is None else str(v).lower() if isinstance(v, bool) else v for v in r.values()])
    (out / "simple.csv").write_text(text.getvalue())
    (out / "simple.csv.gz").write_bytes(gzip.compress(text.getvalue().encode(), mtime=0))
    (out / "simple_noheader.csv").write_text(text.getvalue().split("\n", 1)[1].replace(",", ";"))
    pa.feather.write_feather(table, out / "simple.arrow", compression="uncompressed", chunksize=300)
    views = pa.table({
        "seq": table["seq"], "ts": table["ts"], "v": table["txt"].cast(pa.string_view()),
        "bv": table["txt"].cast(pa.binary()).cast(pa.binary_view()),
    })
    with pa.ipc.new_file(out / "views.arrow", views.schema) as writer:
        writer.write_table(views, max_chunksize=450)
    pq.write_table(table, out / "simple.parquet", row_group_size=700)


def main(out):
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)

    def write(name, table, **options):
        path = out / f"{name}.parquet"
        path.parent.mkdir(exist_ok=True)
        pq.write_table(table, path, row_group_size=700, **{"compression": "zstd", **options})

    base = events(np.random.default_rng(1), 3000)
    write("events", base)
    rng = np.random.default_rng(2)
    write("events_ooo", displace(rng, base))
    write("events_late", displace(rng, base, late_share=1 / 12))
    thin = base.select(["seq", "pos", "ts", "k", "name", "money", "q", "i64", "b"])
    for day, start in enumerate((0, 900, 2100)):
        write(f"events_days/2024-03-{10 + day}", with_part(thin.slice(start, (900, 1200, 900)[day]), day), compression="snappy")
    owner = rng.choice(3, len(thin), p=[0.5, 0.35, 0.15])
    owner[:400] = 0  # the others start later
    owner[2700:] = 1
    for part in range(3):
        write(f"parts/{'abc'[part]}", with_part(thin.filter(pa.array(owner == part)), part))
    for part in range(2):
        mine = thin.filter(pa.array(np.arange(len(thin)) % 2 == part))
        write(f"late_parts/{'ab'[part]}", with_part(displace(rng, mine, late_share=(0.05, 0.15)[part]), part))
    some = thin.slice(0, 500)
    gone = pa.array(np.arange(500) % 13 == 5)
    ts = pa.compute.if_else(gone, pa.scalar(None, pa.timestamp("ms")), some["ts"])
    write("events_nullts", some.set_column(2, "ts", ts))
    write("old", old(rng))
    trades = ticks(rng)
    write("ticks", trades)
    pq.write_table(trades, out / "ticks_whole.parquet", compression="zstd")
    write("bids", bids(rng))
    for name, table in payments_and_dims(rng):
        write(name, table)
    plain_text(base, out)
    fixtures = pathlib.Path(__file__).parent.parent / "models/tests/fixtures"
    (out / "models").mkdir(exist_ok=True)
    named = {"xgb.json": "xgb_binary.model.json", "three.ubj": "xgb_softprob.model.ubj", "lgb.txt": "lgb_zero.model.txt", "trees.onnx": "onnx_modes.model.onnx"}
    named |= {"pipeline.onnx": "graph_pipeline.model.onnx", "network.onnx": "graph_tanh.model.onnx", "forest.onnx": "graph_scaled_forest.model.onnx"}
    for name, fixture in named.items():
        shutil.copyfile(fixtures / fixture, out / "models" / name)


if __name__ == "__main__":
    main(sys.argv[1])
