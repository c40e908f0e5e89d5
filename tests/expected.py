"""Runs the eleven queries of `expected/` over the real data and compares them with the answers that DuckDB gave.

    expected.py [--pelton PATH] [--data DIR] [--only 04]     PATH: $PELTON; DIR: $PELTON_DATA, or ../shared/data

Integers and strings are equal, doubles within 1e-9 relative. A query whose header says `displace: FILE SECONDS` also runs
on a copy of that file whose rows are displaced by less than so many seconds, its watermark delay: the answer is the same
and no row is late. Without the data each test prints `not run: no data`; with CI set that is a failure.
"""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from compare import differences

HERE = pathlib.Path(__file__).resolve().parent


def displaced(source, target, seconds):
    """Copies a file with its rows in the order of time + a seeded delay below `seconds`."""
    table = pq.read_table(source)
    times = table["event_time"].cast(pa.int64()).to_numpy()
    delay = np.random.default_rng(seconds).integers(0, seconds * 1_000_000, len(times))
    target.parent.mkdir(parents=True)
    pq.write_table(table.take(pa.array(np.argsort(times + delay, kind="stable"))), target, compression="zstd")


def run(pelton, query, data, out):
    """Runs a query; its last line of output, or what went wrong."""
    env = {**os.environ, "PELTON_DATA": str(data), "OUT": str(out)}
    done = subprocess.run([pelton, "run", query, "--json"], env=env, capture_output=True, text=True)
    if done.returncode:
        return None, [f"exit code {done.returncode}: {done.stderr.strip()[-800:]}"]
    return json.loads(done.stdout.strip().splitlines()[-1]), []


def check(pelton, query, data, want):
    """Lines of what is wrong with one run, and a word about it."""
    with tempfile.TemporaryDirectory() as out:
        summary, wrong = run(pelton, query, data, out)
        if wrong:
            return wrong, ""
        got = pq.read_table(f"{out}/{query.stem}.parquet")
    wrong = differences(want, got)
    for what in ("late", "dead_letters"):
        if summary[what] != 0:
            wrong.append(f"{summary[what]} {what.replace('_', ' ')}, wanted none")
    return wrong, f"{got.num_rows:,} rows of {summary['rows_in']:,} in {summary['seconds']:.2f} s"


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--pelton", default=os.environ.get("PELTON", "pelton"))
    args.add_argument("--data", default=os.environ.get("PELTON_DATA") or HERE.parent.parent / "shared" / "data")
    args.add_argument("--only", default="")
    args = args.parse_args()
    data = pathlib.Path(args.data).resolve()
    counts = {"passed": 0, "failed": 0, "skipped": 0}

    def report(name, wrong, note):
        counts["failed" if wrong else "passed"] += 1
        print(f"{'FAILED' if wrong else 'ok'} {name} {note}".rstrip())
        for line in wrong:
            print(f"    {line}"[:1500])

    for query in sorted(q for q in (HERE / "expected").glob("*.sql") if args.only in q.name):
        answer = data / "expected" / f"{query.stem}.parquet"
        if not answer.exists():
            print(f"not run: no data ({query.stem})")
            counts["failed" if os.environ.get("CI") else "skipped"] += 1
            continue
        want = pq.read_table(answer)
        report(query.stem, *check(args.pelton, query, data, want))
        move = re.search(r"^-- displace: (\S+) (\d+)$", query.read_text(), re.M)
        if move:
            with tempfile.TemporaryDirectory() as copy:
                file = f"{move[1]}.parquet"
                displaced(data / file, pathlib.Path(copy) / file, int(move[2]))
                report(f"{query.stem}, displaced by up to {move[2]} s", *check(args.pelton, query, copy, want))
    print(", ".join(f"{n} {word}" for word, n in counts.items() if n or word != "skipped"))
    sys.exit(counts["failed"] > 0)


if __name__ == "__main__":
    main()
