#!/usr/bin/env python3
"""`./x bench sweep`: what a row costs from one group to ten million, at three skews and three batch sizes.

Pelton alone, with one worker, from memory, micro-batch by micro-batch: COUNT(*) and SUM(DOUBLE) by a BIGINT key
(queries/sweep.sql). Every group has a row; the other rows fall to groups by Zipf's law, in any order. Each answer is
checked against numpy before a time counts, and of the rounds the least processor time is taken: other work only adds to it.
Before a step is called a cliff, both of its ends are measured once more, by as many rounds.

Writes results/sweep.csv and results/sweep.svg; of other cells, keys or workers into the folder of the benchmark's data.
Exit code 0: all answers right, and no cliff, which is a step to twice
the groups, the next skew or the next batch size at which a row costs more than 2 times what it did. 1: otherwise.
"""

import argparse
import csv
import pathlib
import sys
import tempfile
import time

import numpy as np
import pyarrow as pa

import bench
from bars import bar, show

HERE = pathlib.Path(__file__).resolve().parent
GROUPS = [1 << i for i in range(24)] + [10_000_000]
ZIPFS = [0.0, 1.0, 1.5]
BATCHES = [1 << 10, 1 << 16, 1 << 20]
# At least so many rows, and so many a group: every group is there, and most rows meet one that is.
ROWS_MIN, ROWS_PER_GROUP = 1 << 21, 4
# Rows of a record batch of the file; micro-batches never span two.
PART = 1 << 20
STEP_MAX = 2.0
COLUMNS = ["groups", "zipf", "batch", "rows", "ns_per_row", "mrow_per_cpu_second", "p50_ms", "peak_mib"]


def make_keys(groups, zipf, rows, seed):
    """`rows` keys of 0..`groups` in any order: each once, the rest by Zipf's law. Frequent keys are no neighbours."""
    rng = np.random.default_rng(seed)
    weights = np.arange(1, groups + 1, dtype=np.float64) ** -zipf
    counts = 1 + rng.multinomial(rows - groups, weights / weights.sum())
    keys = np.repeat(np.arange(groups, dtype=np.int64), rng.permutation(counts))
    rng.shuffle(keys)
    return keys


def make_values(rows, seed=9):
    """Amounts of money: cents of a log-normal distribution."""
    return np.round(np.random.default_rng(seed).lognormal(3.2, 1.1, rows), 2)


def spread(keys):
    """Keys that are no small integers, as numbers of cards are not: no array holds their ids."""
    return keys * 7919 + 4_000_000_000


def expected(keys, values, groups, named=lambda keys: keys):
    """The digest that the worker has to give (README.md)."""
    counts, sums = np.bincount(keys, minlength=groups), np.bincount(keys, weights=values, minlength=groups)
    key = named(np.arange(groups))
    found = {"rows": groups, "k": key.sum(), "n": counts.sum(), "s": sums.sum()}
    return {name: float(x) for name, x in (found | {"kn": key @ counts, "ks": key @ sums}).items()}


def difference(want, got):
    """What is different, or None. Counts are equal; sums agree within the rounding of additions, where they are rounded."""
    if got is None or set(want) != set(got):
        return f"digest {got}, not {want}"
    for name, x in want.items():
        if abs(x - got[name]) > (1e-10 * abs(x) if name in ("s", "ks") or abs(x) > 2**53 else 0):
            return f"{name} is {got[name]!r}, not {x!r}"
    return None


def write(path, keys, values):
    table = pa.table({"k": keys, "v": values})
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as out:
        out.write_table(table, max_chunksize=PART)


def cliffs(cells):
    """(from, to, factor) of each step up one axis, and whether it is over STEP_MAX, worst first."""
    cost = {(c["groups"], c["zipf"], c["batch"]): c["ns_per_row"] for c in cells}
    steps = []
    for axis in range(3):
        values = sorted({place[axis] for place in cost})
        for place in cost:
            after = values.index(place[axis]) + 1
            to = (*place[:axis], *values[after : after + 1], *place[axis + 1 :])
            if to in cost and to != place:
                steps.append((place, to, cost[to] / cost[place]))
    return sorted(steps, key=lambda step: -step[2])


def named(place):
    return f"{place[0]:,} groups, Zipf {place[1]:g}, batches of {place[2]:,}"


class Sweep:
    """A run over all cells; worker and file of one table at a time."""

    def __init__(self, args, out):
        self.args, self.out, self.failures = args, out, []
        # (groups, zipf, batch) -> its figures.
        self.cells = {}
        self.command = bench.engine_commands(["pelton"], bench.pelton())["pelton"][0]

    def table(self, groups, zipf, values, batches):
        """Some batch sizes over one table. A new worker each: it keeps files mapped, and the allocator keeps memory."""
        rows = max(self.args.rows, self.args.rows_per_group * groups)
        keys = make_keys(groups, zipf, rows, [groups, int(zipf * 10)])
        named = spread if self.args.spread else lambda keys: keys
        want = expected(keys, values[:rows], groups, named)
        path = self.out / "sweep.arrow"
        write(path, named(keys), values[:rows])
        del keys
        worker = bench.Worker("pelton", self.command, {"PEERS_THREADS": str(self.args.threads)}, self.out)
        try:
            for batch in batches:
                self.cell(worker, path, groups, zipf, batch, rows, want)
        finally:
            worker.close()
            path.unlink()

    def cell(self, worker, path, groups, zipf, batch, rows, want):
        tables = {"sweep": {"mem": str(path), "rows": rows}}
        how = {"op": "run", "src": "mem"} if self.args.bulk else {"op": "micro", "batch": batch, "max_rows": 0}
        message = {**how, "q": "sweep", "tables": tables}
        place = named((groups, zipf, batch))
        replies = []
        for turn in range(self.args.rounds):
            reply = worker.ask({**message, "verify": turn == 0}, 180)
            wrong = None if reply["ok"] else reply["err"]
            if turn == 0 and not wrong:
                wrong = difference(want, reply["digest"])
            if wrong:
                self.failures.append(place)
                print(f"FAILED {place}: {wrong}", flush=True)
                return
            replies.append(reply)
        best = min(replies, key=lambda r: r["cpu"])
        cell = {"groups": groups, "zipf": zipf, "batch": batch, "rows": rows, "ns_per_row": best["cpu"] / rows * 1e9}
        cell |= {"mrow_per_cpu_second": rows / best["cpu"] / 1e6, "p50_ms": best.get("p50", 0.0)}
        cell["wall_ns_per_row"] = min(r["wall"] for r in replies) / rows * 1e9
        cell["peak_mib"] = max(r.get("peak_bytes", 0) for r in replies) / 2**20
        before = self.cells.get((groups, zipf, batch), cell)
        self.cells[groups, zipf, batch] = min(before, cell, key=lambda c: c["ns_per_row"])

    def again(self, values):
        """Measures the ends of all cliffs once more."""
        ends = {end for *step, factor in cliffs(self.cells.values()) if factor > STEP_MAX for end in step}
        before = {end: self.cells[end]["ns_per_row"] for end in sorted(ends)}
        for groups, zipf in sorted({end[:2] for end in ends}):
            self.table(groups, zipf, values, sorted(end[2] for end in ends if end[:2] == (groups, zipf)))
        for end, ns in before.items():
            print(f"# measured again: {named(end)}: {ns:.1f} ns, the least now {self.cells[end]['ns_per_row']:.1f}", flush=True)


def show_head(batches, zipfs):
    print(f"{'groups':>10} " + "  ".join(f"{f'batches of {b:,}':^{8 * len(zipfs)}}" for b in batches))
    print(f"{'Zipf':>10} " + "  ".join("".join(f"{z:8g}" for z in zipfs) for _ in batches), flush=True)


def show_groups(groups, batches, zipfs, cells):
    """One line: Mrow per cpu-second of each batch size and skew."""
    rates = {(c["groups"], c["batch"], c["zipf"]): c["mrow_per_cpu_second"] for c in cells}
    parts = ("".join(f"{rates.get((groups, b, z), float('nan')):8.1f}" for z in zipfs) for b in batches)
    print(f"{groups:>10,} " + "  ".join(parts), flush=True)


def show_clock(groups, batches, zipfs, cells):
    """The line below: Mrow a second by the clock."""
    clock = {(c["groups"], c["batch"], c["zipf"]): 1e3 / c["wall_ns_per_row"] for c in cells}
    parts = ("".join(f"{clock.get((groups, b, z), float('nan')):8.1f}" for z in zipfs) for b in batches)
    print(f"{'a second':>10} " + "  ".join(parts), flush=True)


def write_csv(path, cells, about):
    with open(path, "w", newline="") as file:
        file.write(f"# {about}\n")
        out = csv.writer(file, lineterminator="\n")
        out.writerow(COLUMNS)
        out.writerows([f"{cell[c]:.4g}" if isinstance(cell[c], float) else cell[c] for c in COLUMNS] for cell in cells)


COLORS = ["#1b6ca8", "#d1701c", "#4c8c4a"]
# A panel and the space around it, in pixels.
WIDE, HIGH, LEFT, TOP, GAP = 300, 300, 60, 76, 24


def draw(path, cells, about):
    """A panel a batch size: ns per row over groups, both by powers, a line a skew, a ring at what a cliff leads to."""
    batches, zipfs = sorted({c["batch"] for c in cells}), sorted({c["zipf"] for c in cells})
    costs = [c["ns_per_row"] for c in cells]
    low, high = int(np.floor(np.log2(min(costs)))), int(np.ceil(np.log2(max(costs))))
    right = max(1.0, np.log2(max(c["groups"] for c in cells)))
    bad = {to for _, to, factor in cliffs(cells) if factor > STEP_MAX}
    width, height = LEFT + len(batches) * (WIDE + GAP), TOP + HIGH + 64
    svg = []

    def text(x, y, words, anchor="middle", size=12, color="#333", more=""):
        svg.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{color}"{more}>{words}</text>')

    def y_of(ns):
        return TOP + HIGH * (high - np.log2(ns)) / max(1, high - low)

    text(LEFT, 22, "Cost of a row: COUNT(*) and SUM(DOUBLE) by a BIGINT key, one worker, from memory", "start", 15, "#111")
    text(LEFT, 40, about, "start", 10, "#777")
    for panel, batch in enumerate(batches):
        x0 = LEFT + panel * (WIDE + GAP)
        text(x0 + WIDE / 2, TOP - 10, f"batches of {batch:,} rows")
        for power in range(low, high + 1):
            y = y_of(2.0**power)
            svg.append(f'<path d="M{x0} {y:.1f}h{WIDE}" stroke="#ddd"/>')
            if panel == 0:
                text(x0 - 6, y + 4, f"{2.0**power:g}", "end", 11)
        for power in range(0, int(right) + 1, 4):
            x = x0 + WIDE * power / right
            svg.append(f'<path d="M{x:.1f} {TOP + HIGH}v4" stroke="#999"/>')
            text(x, TOP + HIGH + 18, f'2<tspan dy="-4" font-size="8">{power}</tspan>', size=11)
        for color, zipf in zip(COLORS, zipfs):
            line = [c for c in cells if (c["batch"], c["zipf"]) == (batch, zipf)]
            points = [(x0 + WIDE * np.log2(c["groups"]) / right, y_of(c["ns_per_row"]), c) for c in line]
            d = "L".join(f"{x:.1f} {y:.1f}" for x, y, _ in points)
            svg.append(f'<path d="M{d}" fill="none" stroke="{color}" stroke-width="1.8"/>')
            for x, y, c in points:
                title = f"<title>{named((c['groups'], zipf, batch))}: {c['ns_per_row']:.1f} ns</title>"
                svg.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.2" fill="{color}">{title}</circle>')
                if (c["groups"], zipf, batch) in bad:
                    svg.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6" fill="none" stroke="#c00" stroke-width="1.5"/>')
    for i, (color, zipf) in enumerate(zip(COLORS, zipfs)):
        text(LEFT + 10, TOP + 18 + 16 * i, f"Zipf {zipf:g}", "start", 12, color)
    text(LEFT + (width - LEFT) / 2, height - 22, "groups (every one has a row)")
    middle = TOP + HIGH / 2
    text(16, middle, "ns of processor time a row", more=f' transform="rotate(-90 16 {middle:.0f})"')
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif">'
    path.write_text("\n".join([head, '<rect width="100%" height="100%" fill="#fff"/>', *svg, "</svg>"]) + "\n")


def checks_see_faults():
    """Whether a row in the wrong group changes the digest, and a cliff is found where there is one, and only there."""
    keys, values = make_keys(8, 1.0, 64, 1), make_values(64)
    want, moved = expected(keys, values, 8), keys.copy()
    moved[keys == 3] = np.where(np.arange((keys == 3).sum()) == 0, 4, 3)
    cells = [{"groups": g, "zipf": 0.0, "batch": 1, "ns_per_row": ns} for g, ns in ((1, 1.0), (2, 2.0), (4, 4.1))]
    found = [(start[0], to[0]) for start, to, factor in cliffs(cells) if factor > STEP_MAX]
    right = difference(want, expected(keys, values, 8)) is None and found == [(2, 4)]
    return right and difference(want, expected(moved, values, 8)) is not None


def numbers(of):
    """Reads several numbers."""
    return lambda text: [of(x) for x in text.split(",")]


def arguments():
    parser = argparse.ArgumentParser(prog="./x bench sweep", description=__doc__.split("\n\n")[0])
    parser.add_argument("--threads", type=int, default=1, help="workers; with several, the time a row takes by the clock is shown too")
    parser.add_argument("--groups", type=numbers(int), default=GROUPS, help="numbers of groups, such as 65536,1048576")
    parser.add_argument("--zipfs", type=numbers(float), default=ZIPFS, help="exponents of skew")
    parser.add_argument("--batches", type=numbers(int), default=BATCHES, help="rows of a micro-batch")
    parser.add_argument("--rows-per-group", type=int, default=ROWS_PER_GROUP, help="at least so many rows a group")
    parser.add_argument("--bulk", action="store_true", help="the whole table at once, in micro-batches of 65,536")
    parser.add_argument("--spread", action="store_true", help="keys that are no small integers")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=ROWS_MIN, help=f"at least so many rows (default {ROWS_MIN:,})")
    parser.add_argument("--into", type=pathlib.Path, default=HERE / "results", help="where CSV and SVG go")
    parser.add_argument("--no-bars", action="store_true", help="figures only: a cliff is shown, and no failure")
    parser.add_argument("--smoke", action="store_true", help="a few small cells, no speed judged, nothing kept")
    args = parser.parse_args()
    args.batches = [1 << 16] if args.bulk else args.batches
    cells = (args.threads, args.groups, args.zipfs, args.batches, args.rows_per_group)
    whole = not (args.bulk or args.spread) and cells == (1, GROUPS, ZIPFS, BATCHES, ROWS_PER_GROUP)
    if not whole and not args.smoke and args.into == HERE / "results":
        args.into = bench.root() / "sweep"
    if args.smoke:
        args.groups, args.batches, args.rounds, args.rows = [1, 512, 100_000], BATCHES[:2], 1, 100_000
    return args


def main():
    args, begun = arguments(), time.monotonic()
    machine = bench.machine()
    about = f"{bench.now()}, {bench.commit()}, {machine['cpu']}, load {machine['load']:.1f}, least of {args.rounds} rounds"
    root = bench.root()
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root, prefix="sweep-") as out:
        if args.smoke:
            args.into = pathlib.Path(out)
        sweep = Sweep(args, pathlib.Path(out))
        values = make_values(max(args.rows, args.rows_per_group * max(args.groups)))
        print(f"# {about}\n# Mrow per cpu-second")
        show_head(args.batches, args.zipfs)
        for groups in args.groups:
            for zipf in args.zipfs:
                sweep.table(groups, zipf, values, args.batches)
            show_groups(groups, args.batches, args.zipfs, sweep.cells.values())
            if args.threads > 1:
                show_clock(groups, args.batches, args.zipfs, sweep.cells.values())
        if not args.smoke:
            sweep.again(values)
        if sweep.cells:
            args.into.mkdir(parents=True, exist_ok=True)
            write_csv(args.into / "sweep.csv", sweep.cells.values(), about)
            draw(args.into / "sweep.svg", sweep.cells.values(), about)
    passed, failed = len(sweep.cells), len(sweep.failures)
    missed = []
    if args.smoke:
        right = checks_see_faults()
        passed, failed = passed + right, failed + (not right)
    else:
        steps = cliffs(sweep.cells.values())
        bad = [step for step in steps if step[2] > STEP_MAX]
        # The worst step says how far off all others are.
        for start, to, factor in bad or steps[:1]:
            print(f"# {factor:.2f} times the cost: from {named(start)} to {named(to)}")
        if not args.no_bars and steps:
            missed = show([bar("sweep, cost of a row after any step", steps[0][2], STEP_MAX, most=True)])
        print(f"# {time.monotonic() - begun:.0f} s")
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed or missed else 0


if __name__ == "__main__":
    sys.exit(main())
