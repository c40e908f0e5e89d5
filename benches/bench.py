#!/usr/bin/env python3
"""`./x bench`: Pelton beside DuckDB, Polars and DataFusion, on the same rows and cores, in one run.

Each engine is a worker process that speaks the line protocol of workers/proto.py. A job is one workload on one source (or
one micro-batch size). Per job the workers are started anew, one untimed round warms them up and checks that every answer
agrees, and then they take turns, one at a time, in an order rotated per round. What is printed is the median of the rounds,
and at the end a line for each bar that these figures can be held to.

`./x bench sweep`, `scaling` and `memory` are the scripts of these names.

Exit code 0: every engine answered, and alike, and every bar is met (--no-bars, --smoke: not judged). 1: otherwise.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import select
import statistics
import subprocess
import sys
import time

from bars import bar, show

HERE = pathlib.Path(__file__).resolve().parent
WORKERS = {
    "duckdb": "duckdb_w.py",
    "polars": "polars_w.py",
    "datafusion": "datafusion_w.py",
}
# Which workloads run when none is named, and from where: the light ones also from Parquet.
PARQUET_TOO = ["ysb", "f1", "f2", "tpch_q1", "tpch_q6"]
WORKLOADS = ["ysb", "f1", "f2", "f2d", "f3", "tpch_q1", "tpch_q6", "nx1", "nx2", "nx5x", "nx7x", "nx11", "jsonl", "csv"]
# In micro-batches: all that lie in memory as columns. Text lies in files, which Pelton cuts by itself.
MICRO = [name for name in WORKLOADS if name not in ("jsonl", "csv")]
# Which generator makes a table (gen.py), and the folder it lies in.
MADE_BY = {"ysb": "ysb", "ads": "ysb", "fraud": "fraud", "fraud_s": "fraud", "lineitem": "tpch"}
MADE_BY |= {"bid": "nexmark", "person": "nexmark", "auction": "nexmark", "jsonl": "jsonl", "csv": "csv"}
# Tables that are text only, and what it is.
TEXT = {"jsonl": "json", "csv": "csv"}

SMALL, LARGE = 1024, 65536
# (workload, source) -> at least this many times the best peer's rows per cpu-second, and the aim.
BARS = {
    ("ysb", "mem"): (1.5, 3.0),
    ("f1", "mem"): (1.5, 3.0),
    ("f2", "mem"): (1.5, 2.5),
    ("f2d", "mem"): (1.5, 3.0),
    ("f3", "mem"): (4.0, 8.0),
    ("tpch_q1", "mem"): (1.2, 2.0),
    ("tpch_q6", "mem"): (1.0, 1.3),
    ("nx1", "mem"): (1.0, 1.3),
    ("nx2", "mem"): (1.0, 1.3),
    ("nx5x", "mem"): (1.5, 3.0),
    ("nx7x", "mem"): (1.5, 3.0),
    ("nx11", "mem"): (2.0, 3.0),
    ("jsonl", "json"): (2.0, 4.0),
    ("csv", "csv"): (2.0, 4.0),
} | {(name, source): (1.0, 1.5) for name in PARQUET_TOO for source in ("raw", "zstd")}
# (workload, source) -> rows per second on two threads, whatever the peers do.
FLOORS = {("f1", "zstd"): 10e6}
# workload -> at least so many times lower than the best peer's: median and 99th percentile of the time a LARGE batch takes.
LATENCY = {name: (4.0, 20.0 if name == "f2" else 5.0) for name in MICRO}
# Rows per cpu-second of LARGE batches, as a share of those of the whole table from memory, in the same run.
MICRO_SHARE = 0.8
# workload -> median time that a SMALL batch may take, ms.
SMALL_MS = {"ysb": 0.1, "f1": 0.1}
# Stream engine -> its rows per cpu-second, which ours from memory are held against. They are too slow, and too large, to
# take part here: measured once with two threads and the first 16 parts of these tables, on a Xeon with AVX-512 (21 Nov
# 2026, `research/peers.md`, section 5). Flink read columns in memory; Spark read Parquet without compression, so that
# against our rate from `raw` its figure is the fairer one.
STREAMS = {
    "Flink 2.3": {"ysb": 1.9e6, "f1": 2.2e6, "f2": 0.52e6},
    "Spark 4.3": {"ysb": 2.4e6, "f1": 3.3e6, "f2": 0.51e6},
}
STREAM_TIMES = 30


class Worker:
    """One engine in a process of its own."""

    def __init__(self, name, command, env, out):
        self.name = name
        self.log = out / f"worker-{name}.log"
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, **env}
            )
        self.dead = False
        self.version = self.read(60).get("version", "?")

    def read(self, timeout):
        """The next reply; lines that are no JSON object are passed over."""
        end = time.monotonic() + timeout
        while True:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                self.kill()
                return {"ok": False, "err": f"no answer in {timeout} s"}
            line = self.process.stdout.readline()
            if not line:
                self.dead = True
                return {"ok": False, "err": f"worker ended with {self.process.wait()}, see {self.log}"}
            if line.startswith("{"):
                try:
                    return json.loads(line)
                except ValueError:
                    pass

    def ask(self, message, timeout):
        """Sends one message, and returns the reply with the peak memory of the work added."""
        if self.dead:
            return {"ok": False, "err": "the worker is dead"}
        measured = self.reset_peak()
        try:
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            self.dead = True
            return {"ok": False, "err": f"the worker died, see {self.log}"}
        reply = self.read(timeout)
        if measured and not self.dead:
            reply["peak_bytes"], reply["rss_peak_bytes"] = self.peak()
        return reply

    def reset_peak(self):
        """Makes the kernel forget the highest resident size so far."""
        try:
            pathlib.Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")
            return True
        except OSError:
            return False

    def peak(self):
        """Highest resident size since the reset, without and with mapped input files, in bytes."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in status if line.endswith(" kB")}
        return max(0, sizes["VmHWM"] - sizes["RssFile"]), sizes["VmHWM"]

    def kill(self):
        """Ends the process at once."""
        self.dead = True
        self.process.kill()
        self.process.wait()

    def close(self):
        """Lets the worker end by itself."""
        if self.dead:
            return
        try:
            self.process.stdin.write('{"op":"quit"}\n')
            self.process.stdin.flush()
            self.process.wait(10)
        except (OSError, subprocess.TimeoutExpired):
            self.kill()


def difference(want, got):
    """What is different between two digests, or None: same rows, same columns, sums within 1e-6 (peers add floats in any order)."""
    if want is None or got is None:
        return "no digest"
    if want["rows"] != got["rows"]:
        return f"{got['rows']:,.0f} rows, not {want['rows']:,.0f}"
    if set(want) != set(got):
        return f"columns {sorted(got)}, not {sorted(want)}"
    for name, x in want.items():
        if abs(x - got[name]) > 1e-6 * max(abs(x), abs(got[name]), 1e-9):
            return f"sum of {name} is {got[name]!r}, not {x!r}"
    return None


class Data:
    """The generated tables of one size."""

    def __init__(self, root, rows, parts):
        self.rows, self.parts = rows, parts
        self.dir = root / (f"rows-{rows}" if rows else "whole")
        self.out = self.dir / "out"
        self.out.mkdir(parents=True, exist_ok=True)
        self.known = {}

    def ensure(self, tables):
        """Makes what is missing, in a process of its own: it needs memory that nobody should measure."""
        for which in sorted({MADE_BY[t] for t in tables}):
            size = ["--rows", str(self.rows)] if self.rows else []
            command = [sys.executable, str(HERE / "gen.py"), which, "--parts", str(self.parts), *size]
            subprocess.run(command, check=True, env={**os.environ, "PEERS_DATA": str(self.dir)})

    def table(self, name, source):
        """Where a table lies, in the words that workers get: see README.md."""
        import pyarrow as pa
        import queries

        if (name, source) not in self.known:
            folder = "fraud" if name == "fraud_s" else name
            cut = queries.F3_PARTS if name == "fraud_s" else 1 << 30
            if name == "ads":
                place = {"path": str(self.dir / "ads" / "ads.parquet"), "rows": 1000}
            elif name in TEXT:
                made = json.loads((self.dir / f"{name}.json").read_text())["rows"]
                files = sorted((self.dir / name / source).glob(f"*.{source}"))[: self.parts or None]
                place = {"path": self.links(name, source, files), "format": source, "rows": min(made, len(files) << 20)}
            else:
                mem = self.dir / folder / "mem.arrow"
                reader = pa.ipc.open_file(pa.memory_map(str(mem)))
                batches = min(reader.num_record_batches, self.parts or 1 << 30, cut)
                rows = sum(reader.get_batch(i).num_rows for i in range(batches))
                place = {"mem": str(mem), "batches": batches, "rows": rows}
                if source != "mem":
                    files = sorted((self.dir / folder / source).glob("*.parquet"))[:batches]
                    place = {"path": self.links(name, source, files), "rows": rows}
            self.known[name, source] = place
        return self.known[name, source]

    def links(self, name, source, files):
        """A folder that holds links to exactly these files."""
        folder = self.out / "tables" / f"{name}-{source}-{len(files)}"
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            link = folder / file.name
            if not link.is_symlink():
                link.symlink_to(file.resolve())
        return str(folder)

    def message(self, workload, source):
        """The tables of a workload, and how many rows they hold."""
        import queries

        tables = {name: self.table(name, source) for name in queries.TABLES[workload]}
        return tables, sum(place["rows"] for name, place in tables.items() if name != "ads")


def engine_commands(names, pelton):
    """Engine name -> (command, environment)."""
    commands = {}
    for name in names:
        if name == "pelton":
            commands[name] = ([pelton, "bench", "--worker", "--queries", str(HERE / "queries")], {})
        elif name in WORKERS:
            commands[name] = ([sys.executable, str(HERE / "workers" / WORKERS[name])], {})
        else:
            sys.exit(f"bench: unknown engine '{name}'; known: pelton, {', '.join(WORKERS)}")
    return commands


def cache():
    """Where builds and data lie unless the environment says otherwise."""
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache"))


def root():
    """Generated data and results."""
    return pathlib.Path(os.environ.get("PELTON_BENCH_DIR", cache() / "pelton-bench"))


def pelton():
    """The binary."""
    target = os.environ.get("CARGO_TARGET_DIR", cache() / "pelton-target")
    return os.environ.get("PELTON", f"{target}/debug/pelton")


def pace(values):
    return statistics.median(values)


class Bench:
    """A run over all jobs."""

    def __init__(self, args, data, commands):
        self.args, self.data, self.commands = args, data, commands
        self.env = {
            "PEERS_DATA": str(data.dir),
            "PEERS_OUT": str(data.out),
            "PEERS_PARTS": str(data.parts or 0),
            "PEERS_THREADS": str(args.threads),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self.workers, self.results, self.failures, self.versions, self.checked = {}, [], [], {}, 0

    def worker(self, name):
        """The live worker of an engine."""
        if name not in self.workers or self.workers[name].dead:
            command, env = self.commands[name]
            self.workers[name] = Worker(name, command, {**self.env, **env}, self.data.out)
            self.versions[name] = self.workers[name].version
        return self.workers[name]

    def fail(self, job, why):
        self.failures.append(f"{job}: {why}")
        print(f"FAILED {job}: {why}", flush=True)

    def ask(self, name, message):
        try:
            return self.worker(name).ask(message, self.args.timeout)
        except OSError as error:
            return {"ok": False, "err": f"does not start: {error}"}

    def reference(self, workload, tables):
        """The answer of a whole run of the first peer, for comparing the micro-batch runs with."""
        peer = next((n for n in self.commands if n != "pelton"), "pelton")
        reply = self.ask(peer, {"op": "run", "q": workload, "src": "mem", "verify": True, "tables": tables})
        return reply.get("digest")

    def job(self, op, workload, x, alone=False):
        """One workload on one source (`run`) or at one batch size (`micro`); `alone`: no peer does it, one still checks it."""
        source = x if op == "run" else "mem"
        tables, rows = self.data.message(workload, source)
        message = {"op": op, "q": workload, "tables": tables}
        message |= {"src": x} if op == "run" else {"batch": x, "max_rows": 0}
        label = f"{workload} {x}" if op == "run" else f"{workload} batches of {x:,}"
        if not self.args.keep_workers:
            self.close()
        answer = self.reference(workload, tables) if op == "micro" else None
        first, live = answer and "the whole-table run", {}
        # Peers first, so that Pelton is judged by them and not they by it.
        for name in ["pelton"] if alone else sorted(self.commands, key=lambda n: n == "pelton"):
            if name == "pelton" and not (HERE / "queries" / f"{workload}.sql").exists():
                print(f"# {label}: no queries/{workload}.sql, so without Pelton", flush=True)
                continue
            reply = self.ask(name, {**message, "verify": True})
            if not reply["ok"]:
                if reply["err"] == "unsupported" and name != "pelton":
                    continue
                self.fail(f"{label}: {name}", reply["err"])
                continue
            if answer is None and reply.get("digest"):
                answer, first = reply["digest"], name
            wrong = difference(answer, reply.get("digest"))
            if wrong:
                self.fail(f"{label}: {name}", f"another answer than {first}: {wrong}")
            else:
                self.checked += 1
            live[name] = []
        names = list(live)
        for turn in range(self.args.rounds):
            shift = turn % len(names) if names else 0
            for name in names[shift:] + names[:shift]:
                if self.workers[name].dead:
                    continue
                reply = self.ask(name, {**message, "verify": False})
                if reply["ok"]:
                    live[name].append(reply | {"load": os.getloadavg()[0]})
                else:
                    self.fail(f"{label}: {name}", reply["err"])
        self.report(op, workload, x, rows, {n: r for n, r in live.items() if r})

    def report(self, op, workload, x, rows, runs):
        """Turns the rounds of one job into rows of the table."""
        job = []
        for name, replies in runs.items():
            n = replies[0].get("rows") or rows
            wall, cpu = [r["wall"] for r in replies], [max(r["cpu"], 1e-9) for r in replies]
            result = {"op": op, "workload": workload, "on": x, "engine": name, "rows": n, "rounds": len(replies)}
            result |= {"rows_per_second": n / pace(wall), "rows_per_second_best": n / min(wall)}
            result |= {"rows_per_cpu_second": n / pace(cpu), "load": pace(r["load"] for r in replies)}
            if all("peak_bytes" in r for r in replies):
                result["peak_bytes"] = max(r["peak_bytes"] for r in replies)
                result["rss_peak_bytes"] = max(r["rss_peak_bytes"] for r in replies)
            if op == "micro":
                result |= {f"{p}_ms": pace(r[p] for r in replies) for p in ("p50", "p99", "max")}
            job.append(result)
        peers = [r for r in job if r["engine"] != "pelton"]
        for result in job:
            others = [r for r in peers if r is not result]
            if others:
                result["ratio"] = result["rows_per_cpu_second"] / max(r["rows_per_cpu_second"] for r in others)
                result["ratio_wall"] = result["rows_per_second"] / max(r["rows_per_second"] for r in others)
                if op == "micro":
                    for p in ("p50_ms", "p99_ms"):
                        result[f"{p}_ratio"] = min(r[p] for r in others) / max(result[p], 1e-9)
        job.sort(key=lambda r: (r["engine"] != "pelton", -r["rows_per_cpu_second"]))
        for result in job:
            print(line(result), flush=True)
        self.results += job

    def close(self):
        for worker in self.workers.values():
            worker.close()
        self.workers.clear()


HEAD = f"{'workload':9} {'on':>9} {'engine':11} {'Mrow/s':>8} {'(best)':>8} {'/cpu-s':>8} {'ratio':>7} {'MiB':>6}  notes"


def line(r):
    """A row of the table."""
    on = f"{r['on']:,}" if r["op"] == "micro" else r["on"]
    notes = []
    if r["op"] == "micro":
        notes.append(f"p50 {r['p50_ms']:.3f} p99 {r['p99_ms']:.2f} max {r['max_ms']:.1f} ms")
        if r["engine"] == "pelton" and "p50_ms_ratio" in r:
            notes.append(f"p50 {r['p50_ms_ratio']:.1f}x, p99 {r['p99_ms_ratio']:.1f}x lower than the best peer")
    ratio = f"{r['ratio']:.2f}x" if "ratio" in r else "-"
    memory = f"{r['peak_bytes'] / 2**20:.0f}" if "peak_bytes" in r else "-"
    return (
        f"{r['workload']:9} {on:>9} {r['engine']:11} {r['rows_per_second'] / 1e6:8.2f} {r['rows_per_second_best'] / 1e6:8.2f} "
        f"{r['rows_per_cpu_second'] / 1e6:8.2f} {ratio:>7} {memory:>6}  {'; '.join(notes)}"
    ).rstrip()


def judge(results, threads):
    """The bars that these results can be held to."""
    ours = {(r["op"], r["workload"], r["on"]): r for r in results if r["engine"] == "pelton"}
    found = []
    for (op, name, on), r in ours.items():
        rate, job = r["rows_per_cpu_second"], f"{name} {on}" if op == "run" else f"{name} batches of {on:,}"
        if op == "run":
            if (name, on) in BARS and "ratio" in r:
                need, aim = BARS[name, on]
                found.append(bar(f"{job}, rows per cpu-second over the best peer's", r["ratio"], need, aim=aim))
            if (name, on) in FLOORS and threads == 2:
                found.append(bar(f"{job}, rows per second", r["rows_per_second"] / 1e6, FLOORS[name, on] / 1e6, "M"))
            for engine, rates in STREAMS.items():
                if on == "mem" and name in rates:
                    found.append(bar(f"{job}, rows per cpu-second over {engine}'s", rate / rates[name], STREAM_TIMES))
        elif on == LARGE:
            if ("run", name, "mem") in ours:
                share = rate / ours["run", name, "mem"]["rows_per_cpu_second"]
                found.append(bar(f"{job}, rows per cpu-second over those of the whole table", share, MICRO_SHARE))
            if name in LATENCY and "p50_ms_ratio" in r:
                for p, need in zip(("p50", "p99"), LATENCY[name]):
                    found.append(bar(f"{job}, {p} lower than the best peer's", r[f"{p}_ms_ratio"], need))
        elif on == SMALL and name in SMALL_MS:
            found.append(bar(f"{job}, p50", r["p50_ms"], SMALL_MS[name], "ms", most=True))
    return found


def judge_is_right():
    """Whether `judge` finds what is known of a made-up run: each bar once, met at its edge, missed at half of it."""

    def made_up(op, on, factor):
        r = {"op": op, "workload": "f1", "on": on, "engine": "pelton", "rows_per_second": 10e6 * factor}
        r |= {"rows_per_cpu_second": 100e6 * factor, "ratio": 1.5 * factor, "p50_ms": 0.1 / factor}
        return r | {"p50_ms_ratio": 4 * factor, "p99_ms_ratio": 5 * factor}

    def verdicts(factor):
        runs = [made_up("run", on, factor) for on in ("mem", "raw", "zstd")]
        runs += [made_up("micro", LARGE, factor) | {"rows_per_cpu_second": 80e6 * factor**2}, made_up("micro", SMALL, factor)]
        peer = made_up("run", "mem", 0.01) | {"engine": "duckdb"}
        return [b["met"] for b in judge([*runs, peer], 2)]

    return verdicts(1.0) == [True] * 10 and verdicts(0.5) == [False] * 10


def machine():
    """What the figures were taken on."""
    model = platform.machine()
    try:
        for text in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if text.startswith("model name"):
                model = text.split(":", 1)[1].strip()
                break
    except OSError:
        pass
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {"cpu": model, "cores": os.cpu_count(), "memory_gib": round(memory, 1), "load": os.getloadavg()[0]}


def now():
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def commit():
    command = ["git", "-C", str(HERE), "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.strip() or "?"


def arguments():
    parser = argparse.ArgumentParser(prog="./x bench", description=__doc__.split("\n\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"workloads, all when none is named: {' '.join(WORKLOADS)}")
    parser.add_argument("--rows", type=int, default=0, help="make and use tables of this many rows instead of the full ones")
    parser.add_argument("--parts", type=int, help="first parts (1,048,576 rows) of each full table; 0: all; default 16 or $PEERS_PARTS")
    parser.add_argument("--src", help="mem, raw, zstd or none; default: mem, and all three for the workloads with a bar on them")
    parser.add_argument("--micro", help="batch sizes, such as 1024,65536,1048576, or none; default 65536, and 1024 for Pelton alone")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--engines", "--peers", default="pelton,duckdb,polars,datafusion")
    parser.add_argument("--timeout", type=int, default=180, help="seconds an engine may take for one answer")
    parser.add_argument("--keep-workers", action="store_true", help="one process per engine for all jobs (memory then adds up)")
    parser.add_argument("--smoke", action="store_true", help="small and quick: does every engine still answer, and alike?")
    parser.add_argument("--no-bars", action="store_true", help="figures only: no bar is judged")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    args = parser.parse_args()
    if args.smoke:
        args.rows, args.rounds, args.keep_workers = args.rows or 1_300_000, 1, True
    if args.parts is None:
        args.parts = int(os.environ.get("PEERS_PARTS", "16"))
    return args


def jobs(args):
    """What runs, in order: (op, workload, source or batch size[, without peers])."""
    import queries

    names = args.names or WORKLOADS
    for name in names:
        if name not in queries.TABLES:
            sys.exit(f"bench: unknown workload '{name}'; known: {', '.join(queries.TABLES)}")
    listed = []
    for name in names:
        sources = TEXT.get(name) or args.src or ("mem,raw,zstd" if name in PARQUET_TOO else "mem")
        listed += [("run", name, s) for s in sources.split(",") if s != "none"]
        if name in MICRO and args.micro is None:
            listed.append(("micro", name, LARGE))
            if name in SMALL_MS and "pelton" in args.engines.split(","):
                listed.append(("micro", name, SMALL, True))
        elif name in MICRO and args.micro != "none":
            listed += [("micro", name, int(b)) for b in args.micro.split(",")]
    return listed


def main():
    args = arguments()
    sys.path.insert(0, str(HERE))
    import queries

    todo = jobs(args)
    data = Data(root(), args.rows, args.parts)
    data.ensure(table for _, name, *_ in todo for table in queries.TABLES[name])
    about = {"date": now(), "commit": commit(), "machine": machine()}
    size = f"{args.rows:,} rows" if args.rows else f"the first {args.parts} parts" if args.parts else "whole tables"
    print(f"# {about['date']} {about['commit']}: {about['machine']}")
    print(f"# {size}, {args.threads} threads, median of {args.rounds} rounds; MiB: peak memory without mapped input files")
    print("# ratio: rows per cpu-second over the best peer's\n" + HEAD, flush=True)
    bench = Bench(args, data, engine_commands(args.engines.split(","), pelton()))
    try:
        for job in todo:
            bench.job(*job)
    finally:
        bench.close()
    print("# " + ", ".join(f"{name} {version}" for name, version in bench.versions.items()))
    bars = [] if args.smoke or args.no_bars else judge(bench.results, args.threads)
    missed = show(bars)
    about |= {"versions": bench.versions, "rows": args.rows, "parts": args.parts, "threads": args.threads, "rounds": args.rounds}
    about |= {"results": bench.results, "failures": bench.failures, "bars": bars}
    (data.out / "last.json").write_text(json.dumps(about, indent=1) + "\n")
    scripts = ["sweep.py", "scaling.py", "memory.py"] if args.smoke and not args.names else []
    broken = [s for s in scripts if subprocess.run([sys.executable, str(HERE / s), "--smoke"]).returncode]
    checked, failed = bench.checked, len(bench.failures)
    if args.smoke:
        wrong = 0 if judge_is_right() else 1
        if wrong:
            print("FAILED: bars are not judged as they should be")
        checked, failed = checked + 1 - wrong, failed + wrong
    print(f"{checked} passed, {failed} failed", flush=True)
    if args.json:
        print(json.dumps(about))
    return 1 if failed or missed or broken else 0


if __name__ == "__main__":
    sys.exit(main())
