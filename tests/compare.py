"""Compares what `pelton-matrix` left behind with DuckDB's answers over the same rows.

    compare.py --data DIR --out DIR [--case NAME]     after pelton-matrix --data DIR --out DIR
    compare.py --data DIR --duckdb-only               only runs every DuckDB statement and shows what it gives

A case is `cases/<group>/<name>.sql`. Its header, the comment lines it begins with, says how to check it; a value stands on
the line or on the indented lines below it:

    -- What the case shows.
    -- duckdb: SELECT ...          the answer for the sink `out`, or `none (reason)`
    -- duckdb alerts: SELECT ...   the answer for another sink
    -- late: SELECT ...            how many rows are late (default: none)
    -- dead letters: SELECT ...    how many dead letters there are (default: the late rows)
    -- read: SELECT ...            how DuckDB reads the output (default: the Parquet file <sink>.parquet)
    -- tolerance: col=0.02         relative; doubles have 1e-9 without it
    -- types: col=int64            Arrow types of columns of the output
    -- ordered                     the order of rows counts

DuckDB sees every Parquet file and folder of the data as a view of that name, and the macros below. Timestamps and times
compare by microseconds, integers with HUGEINT, -0.0 with 0.0.
"""

import argparse
import decimal
import fractions
import json
import math
import pathlib
import re
import sys

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

import digest

HERE = pathlib.Path(__file__).parent
MACROS = """
SET TimeZone = 'UTC';
CREATE MACRO us(i) AS epoch_us(TIMESTAMP 'epoch' + i);
CREATE MACRO tumble(t, size) AS make_timestamp(epoch_us(t) - ((epoch_us(t) % us(size)) + us(size)) % us(size));
-- the starts of all hops that hold t
CREATE MACRO hops(t, slide, size) AS list_filter(
  list_transform(range(0, (us(size) + us(slide) - 1) // us(slide)), lambda i: make_timestamp(epoch_us(tumble(t, slide)) - i * us(slide))),
  lambda s: s + size > t);
-- the ends of all cumulating windows that hold t
CREATE MACRO steps(t, step, size) AS list_filter(
  list_transform(range(1, us(size) // us(step) + 1), lambda i: make_timestamp(epoch_us(tumble(t, size)) + i * us(step))),
  lambda e: e > t);
"""


class Case:
    """One case: its text and what its header asks for."""

    def __init__(self, path):
        self.name = f"{path.parent.name}/{path.stem}"
        self.text = path.read_text()
        self.items, self.ordered, current = {}, False, None
        for line in self.text.splitlines():
            if not line.startswith("--"):
                break
            body = line[2:].removeprefix(" ")
            item = re.match(r"(duckdb|late|dead letters|read|tolerance|types)( \w+)?:\s*(.*)$", body)
            if item:
                current = (item[1], (item[2] or " out").strip())
                self.items[current] = item[3]
            elif body == "ordered":
                self.ordered, current = True, None
            elif body.startswith("  ") and current:
                self.items[current] += "\n" + body.strip()
            else:
                current = None

    def sinks(self):
        """Sink name to DuckDB statement; None where DuckDB cannot say."""
        return {sink: None if sql.startswith("none") else sql for (kind, sink), sql in self.items.items() if kind == "duckdb"}

    def pairs(self, kind, sink):
        """`a=1 b=2` as a dict."""
        return dict(p.split("=") for p in self.items.get((kind, sink), "").split())


def exact_sum(values):
    """The correctly rounded sum of doubles, NULLs skipped; inf and NaN as IEEE has them."""
    values = [v for v in values or () if v is not None]
    if not values:
        return None
    if any(math.isnan(v) or math.isinf(v) for v in values):
        return sum(v for v in values if math.isnan(v) or math.isinf(v))
    total = sum(map(fractions.Fraction, values))
    try:
        return float(total)
    except OverflowError:
        return math.inf if total > 0 else -math.inf


def connect(data):
    """DuckDB with the macros, and a view for every Parquet file or folder of the data."""
    con = duckdb.connect()
    con.execute(MACROS)
    text = lambda values: None if (s := exact_sum(values)) is None else repr(s)  # DuckDB takes a NaN from Python for NULL
    con.create_function("exact_sum_text", text, ["DOUBLE[]"], "VARCHAR", null_handling="special")
    con.execute("CREATE MACRO exact_sum(x) AS exact_sum_text(x)::DOUBLE")
    for path in sorted(pathlib.Path(data).iterdir()):
        if path.suffix == ".parquet" or (path.is_dir() and path.name != "models"):
            files = path / "*.parquet" if path.is_dir() else path
            con.execute(f"CREATE VIEW {path.stem} AS SELECT * FROM read_parquet('{files}')")
    return con


def kind(t):
    """A word for the family of an Arrow type."""
    if pa.types.is_dictionary(t):
        return kind(t.value_type)
    if pa.types.is_decimal(t):
        return "decimal" if t.scale else "integer"
    families = {"integer": "integer", "floating": "double", "boolean": "boolean", "timestamp": "timestamp", "date": "date",
                "time": "time", "struct": "struct"}
    for test, word in families.items():
        if getattr(pa.types, f"is_{test}")(t):
            return word
    words = {"string": "string", "large_string": "string", "string_view": "string", "binary": "binary", "large_binary": "binary",
             "binary_view": "binary"}
    return words.get(str(t), "list" if str(t).startswith(("list", "large_list")) else str(t).split("[")[0].split("<")[0])


def values_of(column):
    """A column as plain comparable values."""
    t = column.type
    if pa.types.is_dictionary(t):
        return values_of(column.cast(t.value_type))
    if pa.types.is_timestamp(t):
        units = {"s": (10**6, 1), "ms": (1000, 1), "us": (1, 1), "ns": (1, 1000)}[t.unit]
        return [v if v is None else v * units[0] // units[1] for v in column.cast(pa.int64()).to_pylist()]
    if pa.types.is_time(t):
        return column.cast(pa.time64("us"), safe=False).cast(pa.int64()).to_pylist()
    if str(t) in ("string_view", "binary_view"):
        return values_of(column.cast({"string_view": pa.string(), "binary_view": pa.binary()}[str(t)]))
    return column.to_pylist()


def sort_key(row, exact, loose):
    """Exact columns first, then doubles rounded, so that near-equal rows meet."""
    def key(v):
        if isinstance(v, float):
            v = math.inf if math.isnan(v) else float(f"{v:.7g}") + 0.0
            return (0, v, "")
        if isinstance(v, (int, decimal.Decimal)):
            return (0, v, "")
        return (2, 0, "") if v is None else (1, 0, repr(v))
    return [key(row[i]) for i in exact] + [key(row[i]) for i in loose]


def equal(a, b, tolerance):
    """Equal, or doubles within the relative tolerance."""
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(equal(x, y, tolerance) for x, y in zip(a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(equal(a[k], b[k], tolerance) for k in a)
    if a is None or b is None or not (isinstance(a, float) or isinstance(b, float) or tolerance):
        return a == b
    if isinstance(a, (str, bytes, bool)) or isinstance(b, (str, bytes, bool)):
        return a == b
    a, b = float(a), float(b)
    if math.isnan(a) or math.isnan(b) or math.isinf(a) or math.isinf(b):
        return a == b or (math.isnan(a) and math.isnan(b))
    return abs(a - b) <= (tolerance or 1e-9) * max(abs(a), abs(b))


def differences(want, got, ordered=False, tolerances=None, types=None):
    """What is different between two Arrow tables, as lines; empty when they agree."""
    tolerances, lines = tolerances or {}, []
    names = got.column_names
    if [n.lower() for n in names] != [n.lower() for n in want.column_names]:
        return [f"columns are {names}, wanted {want.column_names}"]
    for i, name in enumerate(names):
        have, need = kind(got.schema[i].type), kind(want.schema[i].type)
        if have != need and name not in tolerances and not {have, need} <= {"integer", "decimal"}:
            lines.append(f"column {name} is {got.schema[i].type} ({have}), wanted {want.schema[i].type} ({need})")
        if types and name in types and str(got.schema[i].type) != types[name]:
            lines.append(f"column {name} is {got.schema[i].type}, wanted {types[name]}")
    if lines:
        return lines
    bounds = [float(tolerances.get(n, 0)) for n in names]
    loose = [i for i, n in enumerate(names) if n in tolerances or kind(want.schema[i].type) == "double"]
    exact = [i for i in range(len(names)) if i not in loose]
    loose.sort(key=lambda i: bounds[i])
    left, right = (list(zip(*(values_of(t.column(i)) for i in range(len(names))))) if names else [] for t in (want, got))
    if not ordered:
        left.sort(key=lambda r: sort_key(r, exact, loose))
        right.sort(key=lambda r: sort_key(r, exact, loose))
    if len(left) != len(right):
        lines.append(f"{len(right)} rows, wanted {len(left)}")
    bad = [(a, b) for a, b in zip(left, right) if not all(equal(x, y, t) for x, y, t in zip(a, b, bounds))]
    if bad:
        lines.append(f"{len(bad)} of {len(left)} rows differ; columns {names}")
        for a, b in bad[:3]:
            where = [names[i] for i in range(len(names)) if not equal(a[i], b[i], bounds[i])]
            lines += [f"  wanted {a}", f"  got    {b}", f"  in     {where}"]
    return lines


def check(case, con, data, out, report):
    """Lines of what is wrong with one case."""
    folder = out / case.name

    def ask(sql):
        return con.sql(sql.replace("${DATA}", str(data)).replace("${OUT}", str(folder))).to_arrow_table()

    if report is None or report.get("error"):
        return [f"did not run: {report['error'] if report else 'not in the report'}"]
    lines = []
    for sink, sql in case.sinks().items():
        read = case.items.get(("read", sink))
        file = next((f for f in (folder / f"{sink}.parquet", folder / f"{sink}.arrow") if f.exists()), None)
        if not read and not file:
            lines.append(f"{sink}: no file in {folder}")
            continue
        got = ask(read) if read else pq.read_table(file) if file.suffix == ".parquet" else pa.ipc.open_file(file).read_all()
        if sql:
            tolerances, types = case.pairs("tolerance", sink), case.pairs("types", sink)
            lines += [f"{sink}: {line}" for line in differences(ask(sql), got, case.ordered, tolerances, types)]
        if not read and (again := digest.digest(got.to_batches())) != report["digests"].get(sink):
            lines.append(f"{sink}: digest.py says {again}, the run said {report['digests'].get(sink)}")
    late = case.items.get(("late", "out"), "SELECT 0")
    for what, sql in (("late", late), ("dead letters", case.items.get(("dead letters", "out"), late))):
        want, got = ask(sql).column(0)[0].as_py(), report[what.replace(" ", "_")]
        if want != got:
            lines.append(f"{what}: {got}, wanted {want}")
    return lines


def try_duckdb(cases, con, data):
    """Runs every DuckDB statement; a statement that fails is a failure."""
    failed = 0
    for case in cases:
        for (what, sink), sql in case.items.items():
            if what in ("duckdb", "late", "dead letters") and not sql.startswith("none"):
                try:
                    answer = con.sql(sql.replace("${DATA}", str(data))).to_arrow_table()
                    first = answer.slice(0, 1).to_pylist() if what == "duckdb" else answer.column(0)[0].as_py()
                    bad = False
                    shown = f"{answer.num_rows} rows, first {first}"
                except Exception as error:
                    bad, shown = True, str(error)
                failed += bad
                print(f"{'BAD ' if bad else 'ok  '} {case.name} {what} {sink}: {shown}"[:400])
        if not any(what == "duckdb" for what, _ in case.items):
            failed += 1
            print(f"BAD  {case.name}: no duckdb line")
    print(f"{len(cases)} cases, {failed} bad statements")
    return failed


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--data", required=True, type=pathlib.Path)
    args.add_argument("--out", type=pathlib.Path)
    args.add_argument("--case", default="")
    args.add_argument("--duckdb-only", action="store_true")
    args = args.parse_args()
    cases = [c for c in map(Case, sorted((HERE / "cases").glob("*/*.sql"))) if args.case in c.name]
    con = connect(args.data)
    if args.duckdb_only:
        sys.exit(try_duckdb(cases, con, args.data) > 0)
    report = json.loads((args.out / "report.json").read_text())["cases"]
    failed = 0
    for case in cases:
        try:
            lines = check(case, con, args.data, args.out, report.get(case.name))
        except Exception as error:
            lines = [f"{type(error).__name__}: {error}"]
        failed += bool(lines)
        for line in [f"FAILED {case.name}", *lines] if lines else []:
            print(line if line.startswith("FAILED") else f"    {line}"[:1500])
    print(f"{len(cases) - failed} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
