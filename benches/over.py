"""OVER beside DuckDB: `./x bench over`.

usage: over.py [--rounds N] [--seconds N] [--check] [--no-flink]

The 30 fraud features of every payment of `PELTON_DATA`, over eleven windows of two keys: Pelton streams the payments and their labels through
`over/features.sql`, DuckDB runs the original statement on the whole table; two threads each, taking turns, from the same Parquet file into
nothing (Pelton) or a table in memory (DuckDB). Then Pelton once more with model and threshold behind the features. Wall time of the whole run for
Pelton (it starts, plans and reads), of the one statement for DuckDB.

Checked (with `--check` alone, as `./x test` does): every feature of every payment is DuckDB's, bit for bit, and those of 2018-09-15 are the ones that the models were tested with.

*Beside Flink.* Flink's OVER has one window in a query, so that the same SQL in both is a chain: counts and sums of a customer over an hour, a day
and a week, from a CSV file in order of time, into nothing; payments per second of processor time of the process, of which what it takes to start
and plan (a run over one row) is taken out. That both answer the same is checked with the first 100,000 payments.

*In the order of arrival.* 20,000 payments a second and as many labels, paced in micro-batches of 2 ms, each payment with its 30 features and its score: from when
its row came until its score is out (`latency_us` of `pelton run --json`, of each micro-batch its first row).

Bars (issue 6): half of DuckDB's time; 150,000 payments a second with features, score and filter; 20 times Flink; p99 of 10 ms.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
from flink_peer import Failed, Flink, timed

PELTON = os.environ["PELTON"]
ROOT = Path(__file__).parent.parent
DATA = (ROOT / os.environ.get("PELTON_DATA", "../shared/data")).resolve()
FEATURES = (ROOT / "benches/over/features.sql").read_text()
DUCKDB_BAR, RATE_BAR, FLINK_BAR, P99_BAR_MS = 2.0, 150_000, 20.0, 10.0


def pelton(folder: Path, ending: str) -> float:
    """Seconds of a run of the features and what follows."""
    (folder / "q.sql").write_text(FEATURES + ending)
    command = [PELTON, "run", "--json", "--threads", "2", "q.sql"]
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env={**os.environ, "PELTON_DATA": str(DATA)}, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if done.returncode:
        sys.exit(f"over.py: {done.stderr.strip()}")
    summary = json.loads(done.stdout.strip().splitlines()[-1])
    assert summary["late"] == 0 and summary["dead_letters"] == 0, summary
    return seconds


def duck() -> tuple[float, duckdb.DuckDBPyConnection]:
    """Seconds of DuckDB's statement, and the connection that has the table."""
    db = duckdb.connect()
    db.execute("SET threads = 2")
    text = (DATA / "models/features.sql").read_text().replace("'fraud_transactions/", f"'{DATA}/fraud_transactions/")
    before, statement = text.split("CREATE TABLE features AS")
    db.execute(before)
    start = time.perf_counter()
    db.execute("CREATE TABLE features AS" + statement)
    return time.perf_counter() - start, db


def check(folder: Path, db: duckdb.DuckDBPyConnection) -> int:
    """Compares every feature of every payment; how many there are."""
    pelton(folder, "CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = 'out.parquet') AS SELECT * FROM features;")
    db.execute(f"CREATE VIEW own AS SELECT * FROM '{folder}/out.parquet'")
    names = [row[0] for row in db.execute("DESCRIBE features").fetchall() if row[0] not in ("transaction_id", "event_time")]
    of_day = DATA / "fraud_transactions/features_2018-09-15.parquet"
    day = [name for name in pq.read_schema(of_day).names if name in names]
    for table, wanted, rows in (("features", names, "features"), (f"'{of_day}'", day, f"'{of_day}'")):
        differ = " OR ".join(f"a.{name}::DOUBLE IS DISTINCT FROM b.{name}::DOUBLE" for name in wanted)
        query = f"SELECT count(*), count(*) FILTER (WHERE {differ}) FROM {table} a JOIN own b USING (transaction_id)"
        there, wrong = db.execute(query).fetchone()
        (count,) = db.execute(f"SELECT count(*) FROM {rows}").fetchone()
        if wrong or there != count:
            sys.exit(f"over.py: of {count} rows {there} are there and {wrong} differ in {', '.join(wanted)}")
    (own,) = db.execute("SELECT count(*) FROM own").fetchone()
    assert own == db.execute("SELECT count(*) FROM features").fetchone()[0]
    return own


def chain(path: Path, sink: str) -> str:
    """Windows of a customer one upon the other, in the SQL that both speak."""
    columns, inner = "transaction_id, event_time, customer_id, cents", "payments"
    for name, days in (("h", "'1' HOUR"), ("d", "'1' DAY"), ("w", "'7' DAY")):
        window = f"OVER (PARTITION BY customer_id ORDER BY event_time RANGE BETWEEN INTERVAL {days} PRECEDING AND CURRENT ROW)"
        inner = f"(SELECT {columns}, COUNT(*) {window} AS n{name}, SUM(cents) {window} AS s{name} FROM {inner})"
        columns += f", n{name}, s{name}"
    answers = "transaction_id BIGINT, nh BIGINT, sh BIGINT, nd BIGINT, sd BIGINT, nw BIGINT, sw BIGINT"
    return f"""CREATE TABLE payments (transaction_id BIGINT, event_time TIMESTAMP(3), customer_id INT, cents BIGINT,
 WATERMARK FOR event_time AS event_time - INTERVAL '1' SECOND) WITH ('connector' = 'filesystem', 'path' = '{path}', 'format' = 'csv');
CREATE TABLE answers ({answers}) WITH ({sink});
INSERT INTO answers SELECT transaction_id, nh, sh, nd, sd, nw, sw FROM {inner};
"""


def answered(db: duckdb.DuckDBPyConnection, path: Path) -> tuple[int, str]:
    """How many answers are in CSV files, and a digest of them."""
    files = f"'{path}/**'" if path.is_dir() else f"'{path}'"
    header = "true" if path.name.startswith("own") else "false"
    rows = f"SELECT concat_ws(',', *COLUMNS(*)) AS line FROM read_csv({files}, header = {header}, all_varchar = true)"
    return db.execute(f"SELECT count(*), sum(hash(line)::HUGEINT)::VARCHAR FROM ({rows})").fetchone()


def beside_flink(folder: Path, rounds: int) -> float:
    """Pelton's rate in Flink's, by processor time."""
    db = duckdb.connect()
    table = f"(SELECT * FROM read_parquet('{DATA}/fraud_transactions/transactions.parquet') ORDER BY event_time, transaction_id)"
    moment = "strftime(event_time AT TIME ZONE 'UTC', '%Y-%m-%d %H:%M:%S.%g')"
    query = f"SELECT transaction_id, {moment} AS event_time, customer_id, round(amount * 100)::BIGINT AS cents FROM {table}"
    for name, limit in (("all", ""), ("some", " LIMIT 100000"), ("one", " LIMIT 1")):
        db.execute(f"COPY ({query}{limit}) TO '{folder}/{name}.csv' (HEADER false)")
    (count,) = db.execute(f"SELECT count(*) FROM {table}").fetchone()
    flink = Flink(folder, 2)

    def own(text: str) -> float:
        text = text.replace("'format' = 'csv'", "'format' = 'csv', 'csv.header' = 'false'", 1)
        (folder / "chain.sql").write_text(text)
        return timed([PELTON, "run", "--json", "--threads", "2", "chain.sql"], folder)[0]

    some = folder / "some.csv"
    own(chain(some, f"'connector' = 'filesystem', 'path' = '{folder}/own.csv'"))
    flink.run(chain(some, f"'connector' = 'filesystem', 'path' = '{folder}/flinks', 'format' = 'csv'"))
    ours, theirs = answered(db, folder / "own.csv"), answered(db, folder / "flinks")
    if ours != theirs or ours[0] != 100_000:
        raise Failed(f"the answers differ: {ours} and Flink's {theirs}")
    nothing = "'connector' = 'blackhole'"
    rates = {}
    for name, run, turns in (("Pelton", own, rounds), ("Flink", flink.run, 1)):
        start = run(chain(folder / "one.csv", nothing))
        cpu = statistics.median(run(chain(folder / "all.csv", nothing)) - start for _ in range(turns))
        rates[name] = count / cpu
        print(f"three windows of a customer, {name}: {rates[name]:,.0f} payments per cpu-second", flush=True)
    return rates["Pelton"] / rates["Flink"]


def arrival(folder: Path, score: str, seconds: int) -> float:
    """The 99th percentile in ms of what a payment takes in the order of arrival."""
    # A live source brings few rows at once: so do small row groups. Labels that are known today come with today's payments: these begin a week later.
    paced = FEATURES
    for name, since in (("payments", "INTERVAL 7 DAY"), ("labels", "INTERVAL 0 DAY")):
        rows = f"FROM '{DATA}/fraud_transactions/transactions.parquet'"
        rows = f"{rows} WHERE event_time >= (SELECT min(event_time) + {since} {rows})"
        duckdb.execute(f"COPY ({rows}) TO '{folder}/{name}.parquet' (ROW_GROUP_SIZE 2048)")
        path = "${PELTON_DATA}/fraud_transactions/transactions.parquet'"
        paced = paced.replace(path, f"{folder}/{name}.parquet', 'rows-per-second' = '20000'", 1)
    assert paced.count("rows-per-second") == 2
    settings = "SET 'pelton.over.mode' = 'arrival';\nSET 'pelton.batch.delay-max' = '2ms';\n"
    (folder / "arrival.sql").write_text(settings + paced + score)
    command = [PELTON, "run", "--json", "--threads", "2", "arrival.sql"]
    env = {**os.environ, "PELTON_DATA": str(DATA)}
    running = subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, text=True)
    try:
        time.sleep(seconds)
        running.send_signal(signal.SIGTERM)
        said = json.loads(running.communicate()[0].strip().splitlines()[-1])
    finally:
        running.kill()
    took = said["latency_us"]
    assert took["rows"] == said["rows_out"] > 15_000 * seconds and said["late"] == 0, said
    print(
        f"in the order of arrival, 20,000 payments/s for {seconds} s, features and score: p50 {took['p50'] / 1000:.1f}, "
        f"p99 {took['p99'] / 1000:.1f}, most {took['max'] / 1000:.1f} ms"
    )
    return took["p99"] / 1000


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--no-flink", action="store_true")
    args = parser.parse_args()
    if not DATA.exists():
        print(f"not run: no data at {DATA}; PELTON_DATA names the folder\n0 passed, 0 failed, 1 skipped")
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        count = check(folder, duck()[1])
        print(f"all 30 features of {count:,} payments are DuckDB's", flush=True)
        if args.check:
            return
        ahead = None if args.no_flink else beside_flink(folder, args.rounds)
        given = ", ".join(json.loads((DATA / "models/manifest.json").read_text())["features"])
        nothing = "CREATE TABLE out WITH ('connector' = 'blackhole') AS SELECT * FROM features;"
        score = (
            f"CREATE MODEL fraud WITH ('path' = '{DATA}/models/xgb_full.ubj');\n"
            "CREATE TABLE out WITH ('connector' = 'blackhole') AS SELECT * FROM ("
            f"SELECT transaction_id, event_time, PREDICT(fraud, {given}) AS score FROM features)"
        )
        scored = f"{score} WHERE score > 0.5;"
        p99 = arrival(folder, f"{score};", args.seconds)
        times: dict[str, list[float]] = {"features": [], "duckdb": [], "scored": []}
        for _ in range(args.rounds):
            times["features"].append(pelton(folder, nothing))
            times["duckdb"].append(duck()[0])
            times["scored"].append(pelton(folder, scored))
    middle = {what: statistics.median(seconds) for what, seconds in times.items()}
    ratio, rate = middle["duckdb"] / middle["features"], count / middle["scored"]
    print(f"features: {middle['features']:.2f} s, {count / middle['features']:,.0f} payments/s")
    print(f"DuckDB {duckdb.__version__}: {middle['duckdb']:.2f} s")
    print(f"features, score, filter: {middle['scored']:.2f} s")
    bars = [
        ("times DuckDB's rate", ratio, DUCKDB_BAR, ratio >= DUCKDB_BAR),
        ("payments/s with features, score and filter", rate, RATE_BAR, rate >= RATE_BAR),
        ("ms at the 99th percentile in the order of arrival", p99, P99_BAR_MS, p99 <= P99_BAR_MS),
    ]
    if ahead is not None:
        bars.append(("times Flink", ahead, FLINK_BAR, ahead >= FLINK_BAR))
    for what, found, bar, holds in bars:
        print(f"{found:,.1f} {what} (bar {bar:,.0f}) {'ok' if holds else 'MISSED'}")
    sys.exit(not all(holds for *_, holds in bars))


main()
