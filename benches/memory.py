#!/usr/bin/env python3
"""`./x bench memory`: memory follows the state and not the input, and a group takes few bytes.

    groups     bytes that a group keeps resident: a million BIGINT keys against one, with COUNT(*) and a SUM
    growth     resident memory over 200 million rows against 20 million: a stream of payments (f1), and one whose
               string keys are new in every window
    f1, keys   highest resident size over Parquet: 50 million payments; 20 million rows, each with a key of its own

`pelton run` into nothing, looked at every few milliseconds. Exit code 0: every row was counted and every bar is met
(--no-bars, --smoke: not judged). 1: otherwise.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

import bench
from bars import bar, show

HERE = pathlib.Path(__file__).resolve().parent
MIB = 2**20
# Type of the sum -> bytes a group may keep resident.
GROUP_BYTES = {"BIGINT": 80, "DOUBLE": 160}
GROWTH = 1.05
PEAK_MIB = 1024
# Parquet table and rows of the texts that read one.
TABLES = {"f1": ("fraud", 50_000_000), "keys": ("keys", 20_000_000)}
SAMPLE_SECONDS = 0.005


@dataclasses.dataclass
class Run:
    """What a run said, and its resident sizes in bytes: while it ran, of that without files, and the highest of all."""

    said: dict
    resident: list
    anonymous: list
    peak: int

    def standing(self, sizes, start, end):
        """The usual size between two points of the run, given as shares of it."""
        return statistics.median(sizes[int(len(sizes) * start) : int(len(sizes) * end) + 1])


class Memory:
    """A run over the checks asked for."""

    def __init__(self, args):
        self.args, self.bars, self.passed, self.failed = args, [], 0, 0

    def run(self, query, rows, rows_out=None, threads=2, **variables):
        """Runs queries/QUERY.sql. None, and a failure, unless every row is counted and as many come out as should."""
        variables = {"SINK": "'connector' = 'blackhole'", "ROWS": str(rows), **variables}
        command = [bench.pelton(), "run", "--json", "--threads", str(threads), str(HERE / "queries" / f"{query}.sql")]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **variables})
        resident, anonymous = [], []
        while True:
            ended, status, used = os.wait4(process.pid, os.WNOHANG)
            if ended:
                break
            sizes = self.sizes(process.pid)
            if sizes:
                resident.append(sizes["VmRSS"])
                anonymous.append(sizes["RssAnon"])
            time.sleep(SAMPLE_SECONDS)
        process.returncode = os.waitstatus_to_exitcode(status)
        printed = process.stdout.read().strip().splitlines()
        said = json.loads(printed[-1]) if process.returncode == 0 and printed else {}
        counted = (said.get("rows_in"), said.get("rows_out"), said.get("dead_letters"))
        if counted != (rows, counted[1] if rows_out is None else rows_out, 0) or not resident:
            self.failed += 1
            print(f"FAILED {query} over {rows:,} rows: exit code {process.returncode}, rows and letters {counted}", flush=True)
            return None
        self.passed += 1
        return Run(said, resident, anonymous, used.ru_maxrss * 1024)

    @staticmethod
    def sizes(pid):
        """Resident sizes of a process, or none once it is ending."""
        try:
            status = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
        except OSError:
            return None
        sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in status if line.endswith(" kB")}
        return sizes if {"VmRSS", "RssAnon"} <= set(sizes) else None

    def groups(self):
        """Keys come at random, so that all are there long before the end, and the allocator has given back, after its ten
        seconds, what tables of workers of their own and small arrays grew out of. Workers share one table."""
        groups, rows = (1_000_000, 800_000_000) if not self.args.smoke else (50_000, 2_000_000)
        print(f"# bytes a group: {groups:,} groups less one, resident while they stand, and the highest (with the result)")
        for sum_type, limit in GROUP_BYTES.items():
            for threads in (1, 2):
                one, many = (
                    self.run("groups", rows, n, threads, TYPE=sum_type, GROUPS=str(n)) for n in (1, groups)
                )
                if not one or not many:
                    continue
                held = (many.standing(many.anonymous, 0.8, 0.95) - one.standing(one.anonymous, 0.8, 0.95)) / (groups - 1)
                highest = (max(many.anonymous) - max(one.anonymous)) / (groups - 1)
                name = f"groups, SUM({sum_type}), {threads} worker{'s' if threads > 1 else ''}"
                print(f"{name:45} {held:7.1f} {highest:7.1f}", flush=True)
                self.bars.append(bar(name, held, limit, "bytes a group", most=True))

    def growth(self):
        """Sizes are those usual in the second half. One worker: with two, who gets a core decides how full queues and
        windows are. On a busy machine that moved the short run by a fifth and more, with one worker by two in a hundred."""
        short, long = (20_000_000, 200_000_000) if not self.args.smoke else (200_000, 400_000)
        print(f"# MiB resident in the second half, and the highest, over {short:,} and {long:,} rows")
        for name in ("growth_f1", "growth_keys"):
            runs = [self.run(name, rows, rows if name == "growth_keys" else None, threads=1) for rows in (short, long)]
            if not all(runs):
                continue
            sizes = [(run.standing(run.resident, 0.5, 1.0), run.peak) for run in runs]
            shown = "  ".join(f"{usual / MIB:7.1f} {peak / MIB:7.1f}" for usual, peak in sizes)
            print(f"{name:45} {shown}", flush=True)
            self.bars.append(bar(f"{name}, {long / short:g} times the rows", sizes[1][0] / sizes[0][0], GROWTH, most=True))

    def parquet(self, name):
        table, rows = TABLES[name]
        rows = 1_300_000 if self.args.smoke else rows
        data = bench.Data(bench.root(), rows if self.args.smoke else 0, 0)
        size = ["--rows", str(rows)] if self.args.smoke else []
        command = [sys.executable, str(HERE / "gen.py"), table, *size]
        subprocess.run(command, check=True, env={**os.environ, "PEERS_DATA": str(data.dir)})
        place = f"'connector' = 'filesystem', 'path' = '{data.dir / table / 'zstd'}', 'format' = 'parquet'"
        run = self.run(name, rows, rows if name == "keys" else None, **{f"SOURCE_{table}": place})
        if run:
            rate = run.said["rows_per_second"] / 1e6
            print(f"{f'{name}, Parquet, {rows:,} rows':45} {run.peak / MIB:7.1f} MiB highest, {rate:.1f} Mrow/s", flush=True)
            self.bars.append(bar(f"{name}, Parquet, highest resident size", run.peak / MIB, PEAK_MIB, "MiB", most=True))


CHECKS = {
    "groups": Memory.groups,
    "growth": Memory.growth,
    "f1": lambda memory: memory.parquet("f1"),
    "keys": lambda memory: memory.parquet("keys"),
}


def main():
    parser = argparse.ArgumentParser(prog="./x bench memory", description=__doc__.split("\n\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"checks, all when none is named: {' '.join(CHECKS)}")
    parser.add_argument("--no-bars", action="store_true", help="figures only: no bar is judged")
    parser.add_argument("--smoke", action="store_true", help="small and quick: is every row counted? No size is judged")
    args = parser.parse_args()
    unknown = set(args.names) - set(CHECKS)
    if unknown:
        parser.error(f"unknown check '{unknown.pop()}'; known: {', '.join(CHECKS)}")
    print(f"# {bench.now()} {bench.commit()}: {bench.machine()}")
    memory = Memory(args)
    for name in args.names or CHECKS:
        CHECKS[name](memory)
    missed = [] if args.smoke or args.no_bars else show(memory.bars)
    print(f"{memory.passed} passed, {memory.failed} failed", flush=True)
    return 1 if memory.failed or missed else 0


if __name__ == "__main__":
    sys.exit(main())
