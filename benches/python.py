#!/usr/bin/env python3
"""What Python costs above the engine, held against its bars: `./x bench python`. Exit code 1 if one is missed.

    python.py [--batches N] WHEEL

push      a batch of 65,536 rows, above what the same rows cost as a table in memory: the call, and the way to the engine
function  a function that gives back its argument, above the same query without it; a batch
import    `import pelton`, above an interpreter that imports nothing; wall time, the others are processor time
wheel     bytes
"""

import argparse
import os
import subprocess
import sys
import time

import pyarrow as pa

import pelton

ROWS = 65_536
REPEATS = 7
SUM = "SELECT COUNT(x) AS n, SUM(x) AS s FROM t"
NONE = "SELECT x FROM t WHERE x < 0"


def batches(count):
    """Batches over the same columns: what is measured is not memory."""
    one = pa.record_batch({"x": pa.array(range(ROWS), pa.int64()), "y": pa.array([0.5] * ROWS), "name": pa.array(["a"] * ROWS)})
    return [one] * count


def seconds(work, clock=time.process_time):
    """What it takes of all processors together: on a machine with others at work, wall time is theirs too."""
    start = clock()
    work()
    return clock() - start


def push_us(count):
    """The call, and what the run takes longer over batches that were pushed than over a table; µs a batch."""
    rows = batches(count)
    calls, over_stream, over_table, results = [], [], [], []
    for _ in range(REPEATS):
        with pelton.Session(progress=False) as session:
            session.register("t", pa.Table.from_batches(rows))
            over_table.append(seconds(lambda: session.start(NONE).wait()))
            assert session.sql(SUM).to_pylist() == [{"n": count * ROWS, "s": count * ROWS * (ROWS - 1) // 2}]
            stream = session.stream("t", rows[0].schema, capacity=count)
            calls.append(seconds(lambda: [stream.push(batch) for batch in rows]))
            stream.close()
            over_stream.append(seconds(lambda: results.append(session.start(NONE)) or results[-1].wait()))
            assert results[-1].stats.rows_in == count * ROWS
    way = max(0.0, min(over_stream) - min(over_table))
    print(f"  the call {1e6 * min(calls) / count:.1f} µs, the way to the engine {1e6 * way / count:.1f} µs")
    return 1e6 * (min(calls) + way) / count


def function_us(count):
    """What a function adds; µs a batch."""
    with pelton.Session(progress=False) as session:
        session.register("t", pa.Table.from_batches(batches(count)))
        session.register_udf(lambda x: x, name="same", args=["BIGINT"], returns="BIGINT")
        with_it, without = [], []
        for _ in range(REPEATS):
            without.append(seconds(lambda: session.sql("SELECT SUM(x) AS s FROM t")))
            with_it.append(seconds(lambda: session.sql("SELECT SUM(same(x)) AS s FROM t")))
        assert session.sql("SELECT SUM(same(x)) = SUM(x) AS b FROM t").to_pylist() == [{"b": True}]
    return 1e6 * (min(with_it) - min(without)) / count


def import_ms():
    """What importing takes; ms."""
    run = lambda code: min(
        seconds(lambda: subprocess.run([sys.executable, "-c", code], check=True), time.perf_counter) for _ in range(4 * REPEATS)
    )
    return 1e3 * (run("import pelton") - run("pass"))


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--batches", type=int, default=500)
    args.add_argument("wheel")
    args = args.parse_args()
    print(f"pelton {pelton.__version__}, Python {sys.version.split()[0]}, {os.cpu_count()} cores, {args.batches} batches of {ROWS:,} rows")
    missed = 0
    for name, got, bar, unit in [
        ("push", push_us(args.batches), 20, "µs a batch"),
        ("function", function_us(args.batches), 50, "µs a batch"),
        ("import", import_ms(), 100, "ms"),
        ("wheel", os.path.getsize(args.wheel) / 1e6, 60, "MB"),
    ]:
        kept = got < bar
        missed += not kept
        print(f"{name:<9} {got:8.1f} {unit:<11} bar {bar:>4}  {'ok' if kept else 'MISSED'}")
    sys.exit(missed > 0)


if __name__ == "__main__":
    main()
