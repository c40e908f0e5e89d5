#!/usr/bin/env python3
"""`./x bench scaling`: how much faster two workers are than one, by the clock, from zstd Parquet.

Pelton alone, on ysb, f1 and f2, the two taking turns; the median of the rounds. It needs a machine with two idle cores.
"at most" is what the processor time of both would allow on such a machine: other work hardly moves it.
Exit code 0: both give one answer, and two workers are at least 1.7 times as fast (--no-bars, --smoke: not judged). 1: otherwise.
"""

import argparse
import os
import statistics
import sys

import bench
from bars import bar, show

WORKLOADS = ["ysb", "f1", "f2"]
TIMES = 1.7


def measure(name, data, rounds):
    """The replies of one worker and of two, a list each, and what went wrong, if anything."""
    command, _ = bench.engine_commands(["pelton"], bench.pelton())["pelton"]
    tables, _ = data.message(name, "zstd")
    message = {"op": "run", "q": name, "src": "zstd", "tables": tables}
    workers = [bench.Worker(f"pelton-{n}", command, {"PEERS_THREADS": str(n)}, data.out) for n in (1, 2)]
    replies = [[], []]
    try:
        first = [worker.ask({**message, "verify": True}, 180) for worker in workers]
        wrong = next((reply["err"] for reply in first if not reply["ok"]), None)
        wrong = wrong or bench.difference(first[0]["digest"], first[1]["digest"])
        for turn in range(0 if wrong else rounds):
            for n in (0, 1) if turn % 2 == 0 else (1, 0):
                reply = workers[n].ask({**message, "verify": False}, 180)
                if not reply["ok"]:
                    return replies, reply["err"]
                replies[n].append(reply)
        return replies, wrong
    finally:
        for worker in workers:
            worker.close()


def main():
    parser = argparse.ArgumentParser(prog="./x bench scaling", description=__doc__.split("\n\n")[0])
    parser.add_argument("--rows", type=int, default=0, help="tables of this many rows instead of the full ones")
    parser.add_argument("--parts", type=int, default=int(os.environ.get("PEERS_PARTS", "16")), help="first parts; 0: all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-bars", action="store_true", help="figures only: no bar is judged")
    parser.add_argument("--smoke", action="store_true", help="small and quick: one answer? No speed is judged")
    args = parser.parse_args()
    if args.smoke:
        args.rows, args.rounds = args.rows or 1_300_000, 1
    sys.path.insert(0, str(bench.HERE))
    import queries

    data = bench.Data(bench.root(), args.rows, args.parts)
    data.ensure(table for name in WORKLOADS for table in queries.TABLES[name])
    print(f"# {bench.now()} {bench.commit()}: {bench.machine()}")
    print(f"# zstd Parquet, median of {args.rounds} rounds\n{'workload':9} {'1 worker':>10} {'2 workers':>10} {'times':>7} {'at most':>7}")
    bars, failed = [], 0
    for name in WORKLOADS:
        replies, wrong = measure(name, data, args.rounds)
        if wrong:
            failed += 1
            print(f"FAILED {name}: {wrong}", flush=True)
            continue
        one, two = (statistics.median(reply["wall"] for reply in turns) for turns in replies)
        work = [statistics.median(reply["cpu"] for reply in turns) for turns in replies]
        print(f"{name:9} {one:8.3f} s {two:8.3f} s {one / two:6.2f}x {2 * work[0] / work[1]:6.2f}x", flush=True)
        bars.append(bar(f"{name} zstd, two workers over one", one / two, TIMES))
    missed = [] if args.smoke or args.no_bars else show(bars)
    print(f"{len(bars)} passed, {failed} failed", flush=True)
    return 1 if failed or missed else 0


if __name__ == "__main__":
    sys.exit(main())
