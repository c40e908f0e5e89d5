#!/usr/bin/env python3
"""`./x bench windows`: several windows over the same keys, beside one of them.

    windows.py [--pelton PATH] [--rows 4000000] [--keys 100,1000,100000] [--rounds 3]     PATH: $PELTON

Rows of random keys over an hour of event time, from Parquet without compression; SUM, COUNT and MAX a key and window, one worker. The
sets of windows take turns; shown is the best processor time of a set in seconds, and how many times that of TUMBLE 1 min it is: as it is,
and with windows shifted by milliseconds against each other, so that they have no panes in common and each folds the rows for itself.
"""

import argparse
import os
import pathlib
import resource
import subprocess
import sys
import tempfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

WINDOWS = {
    "tumble1": "TUMBLE(t, ts, INTERVAL '1' MINUTE, {})",
    "tumble5": "TUMBLE(t, ts, INTERVAL '5' MINUTE, {})",
    "hop": "HOP(t, ts, INTERVAL '1' MINUTE, INTERVAL '5' MINUTE, {})",
    "grow": "CUMULATE(t, ts, INTERVAL '1' MINUTE, INTERVAL '5' MINUTE, {})",
    "hour": "TUMBLE(t, ts, INTERVAL '1' HOUR, {})",
}
SETS = [["tumble1"], ["tumble1", "tumble1"], ["tumble1", "tumble5"], ["tumble1", "tumble5", "hop"], ["tumble1", "tumble5", "grow"], ["tumble1", "hour"]]


def table(path, rows, keys):
    """The rows as a Parquet file."""
    dice = np.random.default_rng(1)
    columns = {
        "k": dice.integers(0, keys, rows, dtype=np.int32),
        "v": dice.integers(0, 1000, rows, dtype=np.int64),
        "ts": pa.array(np.sort(dice.integers(0, 3_600_000, rows))).cast(pa.timestamp("ms")),
    }
    pq.write_table(pa.table(columns), path, compression="none", use_dictionary=False, row_group_size=500_000)


def seconds(pelton, windows, folder, shift):
    """Processor time of one run of these windows, each `shift` ms after the one before."""
    sql = f"CREATE TABLE t (WATERMARK FOR ts AS ts) WITH ('connector' = 'filesystem', 'path' = '{folder}/in.parquet');\n"
    for number, window in enumerate(windows):
        sql += f"CREATE TABLE out{number} WITH ('connector' = 'blackhole') AS SELECT window_start, window_end, k, SUM(v) AS s, COUNT(*) AS n, MAX(v) AS m"
        offset = f"INTERVAL '{number * shift / 1000:.3f}' SECOND"
        sql += f" FROM {WINDOWS[window].format(offset)} GROUP BY window_start, window_end, k;\n"
    query = pathlib.Path(folder, "q.sql")
    query.write_text(sql)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([pelton, "run", "--threads", "1", query], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pelton", default=os.environ.get("PELTON", "pelton"))
    parser.add_argument("--rows", type=int, default=4_000_000)
    parser.add_argument("--keys", default="100,1000,100000")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    for keys in map(int, args.keys.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            table(f"{folder}/in.parquet", args.rows, keys)
            runs = [(some, shift) for some in SETS for shift in (0, 1)]
            times = [[seconds(args.pelton, some, folder, shift) for some, shift in runs] for _ in range(args.rounds)]
        best = [min(of_run) for of_run in zip(*times)]
        for some, together, apart in zip(SETS, best[::2], best[1::2]):
            print(f"{keys:>8} keys  {' '.join(some):24} {together:6.2f} s {together / best[0]:5.2f}   apart {apart:6.2f} s {apart / best[0]:5.2f}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
