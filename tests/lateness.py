"""Late rows against a brute-force model of the rules of event time.

    lateness.py [--pelton PATH] [--trials 60] [--seed 1]     PATH: $PELTON

Each trial writes two partitions of random rows, displaced within and beyond the watermark delay, and runs one window query
over them, or several at once, which share their panes and stages. The model reads row by row, in plain Python: a partition's watermark is the running maximum of `ts - delay`; a row
counts in those of its windows whose end less one tick is above the watermark just before it; for sessions it is late when its
time is below that watermark. When windows close does not matter to what is in them, so the model has no closing at all.
Compared: the rows of the sink, the count of late rows, and for every late row its dead letter and the windows it missed.
"""

import argparse
import collections
import glob
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

import pyarrow as pa
import pyarrow.parquet as pq

START = 1_710_028_800_000  # ms
KEYS = 3


def make_rows(dice, delay):
    """One partition: (ts, k, v) in the order of arrival."""
    times, now = [], START - dice.randrange(3000)
    for _ in range(dice.randrange(30, 200)):
        now += dice.choice([0, 0, 1, 40, 300, 1000, 1000, 2500])
        times.append(now)
    # Most rows arrive within the delay, some exactly at its end, some beyond.
    moved = [(t + dice.choice([0, 0, dice.randrange(delay + 1), delay, delay + 1, dice.randrange(12_000)]), t) for t in times]
    return [(t, dice.choice([None, *range(KEYS)]), dice.randrange(-50, 50)) for _, t in sorted(moved)]


def before(rows, delay):
    """Each row with its partition's watermark just before it (None before the first)."""
    mark = None
    for offset, row in enumerate(rows):
        yield offset, row, mark
        mark = row[0] - delay if mark is None else max(mark, row[0] - delay)


def hops(t, slide, size):
    """The windows [start, end) that hold t."""
    start = t - t % slide
    while start > t - size:
        yield start, start + size
        start -= slide


def window_model(partitions, delay, slide, size):
    """Rows of the answer, and the windows that each late row missed."""
    groups, missed = collections.defaultdict(list), {}
    for p, rows in enumerate(partitions):
        for offset, (t, k, v), mark in before(rows, delay):
            for start, end in hops(t, slide, size):
                if mark is None or end - 1 > mark:
                    groups[start, end, k].append(v)
                else:
                    missed.setdefault((p, offset), []).append(start)
    return {(*g, len(v), sum(v)) for g, v in groups.items()}, missed


def session_model(partitions, delay, gap):
    """The same for sessions."""
    by_key, missed, answer = collections.defaultdict(list), {}, set()
    for p, rows in enumerate(partitions):
        for offset, (t, k, v), mark in before(rows, delay):
            if mark is not None and t < mark:
                missed[p, offset] = []
            else:
                by_key[k].append((t, v))
    for k, rows in by_key.items():
        rows.sort()
        session = []
        for t, v in [*rows, (float("inf"), 0)]:
            if session and t - session[-1][0] > gap:
                answer.add((session[0][0], session[-1][0] + gap, k, len(session), sum(v for _, v in session)))
                session = []
            session.append((t, v))
    return answer, missed


def model(partitions, delay, kind, sizes):
    """Rows of the answer, and the windows that each late row missed."""
    if kind == "SESSION":
        return session_model(partitions, delay, sizes[0])
    return window_model(partitions, delay, sizes[0], sizes[-1])


def interval(ms):
    return f"INTERVAL '{ms / 1000:.3f}' SECOND"


def query(kind, sizes, folder, number):
    """One window query as Pelton SQL."""
    if kind == "SESSION":
        source = f"SESSION(TABLE input PARTITION BY k, DESCRIPTOR(ts), {interval(sizes[0])})"
    else:
        source = f"{kind}(TABLE input, DESCRIPTOR(ts), {', '.join(map(interval, sizes))})"
    return f"""
CREATE TABLE answer{number} WITH ('connector' = 'filesystem', 'path' = '{folder}/answer{number}.parquet') AS
SELECT window_start, window_end, k, COUNT(*) AS n, SUM(v) AS s FROM TABLE({source}) GROUP BY k, window_start, window_end;
"""


def queries(windows, delay, folder):
    """All of them."""
    return f"""
SET 'dead-letters.path' = '{folder}/letters';
CREATE TABLE input (ts TIMESTAMP(3), k INT, v INT, WATERMARK FOR ts AS ts - {interval(delay)})
WITH ('connector' = 'filesystem', 'path' = '{folder}/in', 'format' = 'parquet', 'scan.partitions' = 'file');
""" + "".join(query(*window, folder, number) for number, window in enumerate(windows))


def trial(pelton, seed):
    """What is wrong with one trial, as lines, and what it was."""
    dice = random.Random(seed)
    delay = dice.choice([0, 1, 500, 2000, 5000])
    partitions = [make_rows(dice, delay), make_rows(dice, delay)]
    tumbles = [("TUMBLE", [size]) for size in (1, 250, 1000, 3000, 10_000)]
    hops = [("HOP", sizes) for sizes in ([1000, 5000], [2000, 10_000], [4000, 10_000], [700, 3300], [5000, 2000], [3000, 3000])]
    sessions = [("SESSION", [gap]) for gap in (300, 1000, 2500)]
    if seed % 4 == 3:
        windows = dice.sample(tumbles[2:] + hops, dice.choice([2, 3, 4]))
        windows += windows[: dice.choice([0, 1])]
    else:
        windows = [dice.choice([tumbles, hops, sessions][seed % 4])]
    models = [model(partitions, delay, *window) for window in windows]
    # Equal windows are one stage, whose late rows count once.
    missed = [missed for n, (_, missed) in enumerate(models) if windows[n] not in windows[:n]]
    what = f"seed {seed}: {windows} ms, delay {delay} ms, {sum(map(len, missed))} late of {sum(map(len, partitions))} rows"

    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(f"{folder}/in")
        for name, rows in zip("ab", partitions):
            ts, k, v = zip(*rows)
            columns = {"ts": pa.array(ts, pa.int64()).cast(pa.timestamp("ms")), "k": pa.array(k, pa.int32()), "v": pa.array(v, pa.int32())}
            pq.write_table(pa.table(columns), f"{folder}/in/{name}.parquet", row_group_size=50)
        sql = pathlib.Path(folder, "query.sql")
        sql.write_text(queries(windows, delay, folder))
        options = ["--threads", str(dice.choice([1, 2])), "--batch-rows", str(dice.choice([1, 7, 64, 8192]))]
        done = subprocess.run([pelton, "run", sql, "--json", *options], capture_output=True, text=True)
        if done.returncode:
            return [f"exit code {done.returncode}: {done.stderr.strip()[-500:]}"], what
        summary = json.loads(done.stdout.strip().splitlines()[-1])
        answers = []
        for number in range(len(windows)):
            table = pq.read_table(f"{folder}/answer{number}.parquet")
            table = table.set_column(0, "start", table[0].cast(pa.int64())).set_column(1, "end", table[1].cast(pa.int64()))
            answers.append([tuple(r.values()) for r in table.to_pylist()])
        letters = [r for f in sorted(glob.glob(f"{folder}/letters/**/*.parquet", recursive=True)) for r in pq.read_table(f).to_pylist()]

    wrong = []
    for window, got, (want, _) in zip(windows, answers, models):
        if len(got) != len(set(got)):
            wrong.append(f"{window}: {len(got) - len(set(got))} rows come twice")
        for word, rows in (("missing", want - set(got)), ("too many", set(got) - want)):
            if rows:
                wrong.append(f"{window}: {len(rows)} rows {word}, first {min(rows, key=repr)}")
    late = sum(map(len, missed))
    if summary["late"] != late:
        wrong.append(f"{summary['late']} late rows, wanted {late}")
    # For each row a letter for each stage that it is late for, with the windows that it missed; sessions name none.
    seen, wanted = collections.defaultdict(list), collections.defaultdict(list)
    for letter in letters:
        seen[letter["partition"], letter["offset"]].append(letter["reason"].count("[") if letter["kind"] == "late" else -1)
    for of_stage in missed:
        for place, starts in of_stage.items():
            wanted[place].append(len(starts))
    sessions = windows[0][0] == "SESSION"
    for place in seen.keys() | wanted.keys():
        got, want = sorted(seen[place]), sorted(wanted[place])
        if (len(got) != len(want) or -1 in got) if sessions else got != want:
            wrong.append(f"row {place}: letters that name {got} windows, wanted {want}")
            break
    return wrong, what


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--pelton", default=os.environ.get("PELTON", "pelton"))
    args.add_argument("--trials", type=int, default=60)
    args.add_argument("--seed", type=int, default=1)
    args = args.parse_args()
    failed = 0
    for seed in range(args.seed, args.seed + args.trials):
        wrong, what = trial(args.pelton, seed)
        failed += bool(wrong)
        for line in [f"FAILED {what}", *(f"    {w}" for w in wrong)] if wrong else []:
            print(line)
    print(f"{args.trials - failed} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
