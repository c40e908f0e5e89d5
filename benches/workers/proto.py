"""Worker side of the harness protocol: one JSON object per line on stdin, one reply per line on stdout.
 -> {"op":"run","q":"f1","src":"mem|raw|zstd|json|csv","verify":bool}      <- {"ok":true,"wall":s,"cpu":s,"rows_out":n,"digest":{...}}
 -> {"op":"micro","q":"f1","batch":65536,"max_rows":N,"verify":b} <- {"ok":true,"wall":s,"cpu":s,"rows":n,"p50":ms,"p99":ms,"max":ms,...}
 -> {"op":"quit"}
Pelton joins by speaking it in Rust: `pelton bench --worker` (see ../README.md)."""
import sys, os, json, time, resource, glob, traceback
HERE = os.path.dirname(os.path.abspath(__file__)); sys.path.insert(0, os.path.dirname(HERE))
DATA = os.environ.get("PEERS_DATA", "data"); PARTS = int(os.environ.get("PEERS_PARTS", "0")) or None; THREADS = int(os.environ.get("PEERS_THREADS", "2"))
if THREADS == 1: os.sched_setaffinity(0, {int(os.environ.get("PEERS_CORE", "1"))})
import pyarrow as pa, pyarrow.compute as pc
import loops
from queries import *

def cpu():
    r = resource.getrusage(resource.RUSAGE_SELF); return r.ru_utime + r.ru_stime

def files(table, src):
    if table == "ads": return [os.path.join(DATA, "ads", "ads.parquet")]
    if table == "fraud_s": return files("fraud", src)[:F3_PARTS]
    return sorted(glob.glob(os.path.join(DATA, table, src, f"*.{src}" if src in ("json", "csv") else "*.parquet")))[:PARTS]

def linkdir(table, src):
    """a directory holding exactly files(table, src), for engines that take a directory"""
    d = os.path.join(os.environ.get("PEERS_OUT", "out"), "links", f"{table}_{src}_{PARTS or 'all'}"); os.makedirs(d, exist_ok=True)
    for x in files(table, src):
        y = os.path.join(d, os.path.basename(x))
        if not os.path.lexists(y): os.symlink(os.path.abspath(x), y)
    return d

_mem = {}
def mem(table, step=131072):
    """list of record batches, zero-copy slices of an mmapped IPC file"""
    if (table, step) in _mem: return _mem[table, step]
    if table == "ads":
        import pyarrow.parquet as pq
        b = pq.read_table(files("ads", ""), memory_map=True).combine_chunks().to_batches()
    else:
        base = "fraud" if table == "fraud_s" else table
        r = pa.ipc.open_file(pa.memory_map(os.path.join(DATA, base, "mem.arrow")))
        n = min(r.num_record_batches, PARTS or 1 << 30, F3_PARTS if table == "fraud_s" else 1 << 30)
        b = []
        for i in range(n):
            x = r.get_batch(i)
            b += [x.slice(o, step) for o in range(0, x.num_rows, step)]
    _mem[table, step] = b
    return b

def mem_table(table): return pa.Table.from_batches(mem(table))

def digest(t):
    """order-independent digest of a result table: row count and sums of the numeric columns"""
    if not isinstance(t, pa.Table): t = pa.table(t)
    d = {"rows": t.num_rows}
    for name in t.column_names:
        c = t.column(name)
        if pa.types.is_decimal(c.type): c = c.cast(pa.float64())
        if pa.types.is_integer(c.type) or pa.types.is_floating(c.type):
            d[name] = float(pc.sum(c.cast(pa.float64())).as_py() or 0)
    return d

def closed(t):
    """digest without the newest window: what a stream engine in append mode has emitted when a bounded source ends"""
    if not isinstance(t, pa.Table): t = pa.table(t)
    if "w" not in t.column_names or t.num_rows == 0: return None
    return digest(t.filter(pc.less(t["w"], pc.max(t["w"]))))

def serve(peer, version, run, micro=None):
    out = os.fdopen(os.dup(1), "w"); os.dup2(2, 1)           # engines may print; keep the protocol stream clean
    def say(o): out.write(json.dumps(o) + "\n"); out.flush()
    say({"ok": True, "peer": peer, "version": version})
    for line in sys.stdin:
        m = json.loads(line)
        if m["op"] == "quit": break
        try:
            if m["op"] == "run":
                f = run(m["q"], m["src"])                    # setup is outside the timing
                if f is None: say({"ok": False, "err": "unsupported"}); continue
                c0, t0 = cpu(), time.perf_counter()
                res = f()
                w, c = time.perf_counter() - t0, cpu() - c0
                if hasattr(res, "to_arrow") and m.get("verify"): res = res.to_arrow()
                say({"ok": True, "wall": w, "cpu": c, "rows_out": len(res), "digest": digest(res) if m.get("verify") else None,
                     "closed": closed(res) if m.get("verify") else None})
                del res
            elif m["op"] == "micro":
                if micro is None: say({"ok": False, "err": "unsupported"}); continue
                say(micro_run(micro, m))
        except Exception as e:
            traceback.print_exc(); say({"ok": False, "err": f"{type(e).__name__}: {e}"[:300]})

def micro_run(M, m):
    """The loop of loops.py that goes with a workload, around the engine M."""
    if m["q"] not in loops.LOOPS: return {"ok": False, "err": "unsupported"}
    tab = TABLES[m["q"]][0]
    emitted, r = loops.measure(M(m["q"]), m["q"], mem(tab, min(m["batch"], 1 << 20)), m.get("max_rows") or 1 << 62, cpu)
    if m.get("verify"): r["digest"] = digest(pa.concat_tables([e.unify_dictionaries() if hasattr(e, "unify_dictionaries") else e for e in emitted], promote_options="permissive"))
    return r
