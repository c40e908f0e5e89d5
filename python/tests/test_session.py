"""Sessions, tables in memory, and results."""

import asyncio
import datetime as dt
import decimal
import pathlib
import signal
import subprocess
import sys
import threading
import time

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from conftest import MINUTES, WATERMARK, payments

import pelton

ROWS = {"country": ["AT", "DE", "AT", None], "amount": [12.5, 80.0, 7.25, 1.0]}
QUERY = "SELECT country, COUNT(*) AS n, SUM(amount) AS money FROM payments GROUP BY country ORDER BY country"
ANSWER = [
    {"country": None, "n": 1, "money": 1.0},
    {"country": "AT", "n": 2, "money": 19.75},
    {"country": "DE", "n": 1, "money": 80.0},
]


class Foreign:
    """Somebody's table, which gives nothing but a capsule."""

    def __init__(self, table):
        self.table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self.table.__arrow_c_stream__(requested_schema)


def tables():
    table = pa.table(ROWS)
    return {
        "dict of lists": ROWS,
        "list of dicts": table.to_pylist(),
        "pyarrow table": table,
        "pyarrow batch": table.to_batches()[0],
        "pyarrow reader": table.to_reader(),
        "dictionaries": table.set_column(0, "country", table["country"].dictionary_encode()),
        "views and large strings": table.set_column(0, "country", table["country"].cast(pa.large_string())),
        "polars": pl.DataFrame(ROWS),
        "polars categories": pl.DataFrame(ROWS).with_columns(pl.col("country").cast(pl.Categorical)),
        "pandas": pd.DataFrame(ROWS),
        "duckdb": duckdb.connect().from_arrow(table),
        "capsule": Foreign(table),
    }


@pytest.mark.parametrize("kind", tables())
def test_tables_of_others_are_read(session, kind):
    session.register("payments", tables()[kind])
    assert session.sql(QUERY).to_pylist() == ANSWER


def test_rows_are_not_copied(session):
    values = pa.array(range(1000), pa.int64())
    session.register("t", pa.table({"x": values}))
    got = session.sql("SELECT x FROM t").to_arrow()["x"].chunk(0)
    assert got.equals(values)
    assert got.buffers()[1].address == values.buffers()[1].address


def test_a_result_in_every_form(session):
    session.register("payments", ROWS)
    result = session.sql(QUERY)
    assert result.done and not result.live
    assert result.schema.names == ["country", "n", "money"]
    assert result.to_arrow().to_pylist() == ANSWER
    assert result.to_polars().rows(named=True) == ANSWER
    assert result.to_pandas()["money"].tolist() == [1.0, 19.75, 80.0]
    assert [row for batch in result for row in batch.to_pylist()] == ANSWER
    assert pl.DataFrame(result).height == 3
    assert duckdb.sql("SELECT SUM(n) FROM result").fetchall() == [(4,)]
    assert result.stats.rows_in == 4 and result.stats.rows_out == 3 and result.stats.done
    assert result.digest.endswith(":3")

    async def rows():
        return [row async for batch in result for row in batch.to_pylist()]

    assert asyncio.run(rows()) == ANSWER


def test_what_is_shown(session):
    session.register("payments", {"country": ["<b>", "DE"]})
    result = session.sql("SELECT country FROM payments ORDER BY country")
    assert repr(result) == "+---------+\n| country |\n+---------+\n| <b>     |\n| DE      |\n+---------+"
    assert "<td>&lt;b&gt;</td>" in result._repr_html_() and "<th>country" in result._repr_html_()
    assert "2 rows in" in result.stats._repr_html_()
    assert "payments" in repr(session) and "<td>payments</td>" in session._repr_html_()
    plan = session.explain("SELECT country FROM payments WHERE country = 'DE'")
    assert "payments" in str(plan) and plan._repr_html_().startswith("<pre>")
    assert str(session.sql("EXPLAIN SELECT country FROM payments WHERE country = 'DE'")) == str(plan)
    assert "cpu" in str(session.explain("SELECT country, COUNT(*) FROM payments GROUP BY country", placement=True)).lower()
    session.register("many", {"x": range(1000)})
    assert "1,000 rows, of which 20 are shown" in repr(session.sql("SELECT x FROM many"))


def test_the_same_bits_whatever_the_cut():
    rows = pa.Table.from_batches([payments(20_000)])
    digests = set()
    for batch_rows, threads in [(1, 1), (64, 2), (8192, 1), (65_536, 2)]:
        with pelton.Session(batch_rows=batch_rows, threads=threads) as session:
            small = rows.slice(0, 2000) if batch_rows == 1 else rows
            session.register("payments", small, watermark=WATERMARK)
            digests.add((small.num_rows, session.sql(MINUTES).digest))
    assert len(digests) == 2, digests


def test_statements_settings_and_views(session):
    session.register("payments", ROWS)
    session.sql("SET 'pelton.time-zone' = 'Europe/Vienna'; CREATE VIEW at AS SELECT amount FROM payments WHERE country = 'AT'")
    assert session.sql("SELECT SUM(amount) AS s FROM at").to_pylist() == [{"s": 19.75}]
    assert session.tables() == [
        {"name": "payments", "connector": "python", "bounded": True, "columns": {"country": "STRING", "amount": "DOUBLE"}}
    ]
    nothing = session.sql("DROP VIEW at")
    assert nothing.schema is None and nothing.done
    with pytest.raises(pelton.InputError, match="no SELECT"):
        nothing.to_arrow()


def test_registering_again_replaces(session):
    session.register("t", {"x": [1]})
    session.register("t", {"y": ["a"]})
    assert session.sql("SELECT * FROM t").to_pylist() == [{"y": "a"}]
    with pytest.raises(pelton.InputError):
        session.register("t", {"y": ["b"]}, watermark="y - 1")
    assert session.sql("SELECT * FROM t").to_pylist() == [{"y": "a"}], "what was there is still there"


def test_files_and_tables_together(session, tmp_path):
    session.register("t", {"x": [1, 2, 3]})
    path = tmp_path / "out.parquet"
    done = session.sql(
        f"CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '{path}') AS SELECT x * 2 AS y FROM t WHERE x > 1"
    )
    assert done.stats.rows_out == 2 and set(done.stats.digests) == {"out"}
    assert sorted(pd.read_parquet(path)["y"]) == [4, 6]
    joined = session.sql("SELECT x FROM t JOIN out ON t.x = out.y")
    assert joined.to_pylist() == []


def test_a_join_with_a_table_of_python(session):
    session.register("payments", ROWS)
    session.register("names", {"code": ["AT", "DE"], "name": ["Austria", "Germany"]})
    got = session.sql("SELECT name, SUM(amount) AS s FROM payments JOIN names ON country = code GROUP BY name ORDER BY name")
    assert got.to_pylist() == [{"name": "Austria", "s": 19.75}, {"name": "Germany", "s": 80.0}]


def test_many_threads_on_one_session(session):
    session.register("payments", ROWS)
    got, failed = [], []

    def work(number):
        try:
            for i in range(10):
                session.register(f"t{number}", {"x": [number, i]})
                got.append(session.sql(QUERY).to_pylist() == ANSWER)
                assert session.sql(f"SELECT SUM(x) AS s FROM t{number}").to_pylist() == [{"s": number + i}]
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert not failed and got == [True] * 40


def test_after_close(session):
    session.register("t", {"x": [1]})
    stream = session.stream("s", {"x": "BIGINT"})
    result = session.sql("SELECT x FROM t")
    session.close()
    session.close()
    assert session.closed and repr(session) == "<pelton.Session closed>"
    for use in [
        lambda: session.sql("SELECT 1"),
        lambda: session.register("t", {"x": [1]}),
        lambda: session.stream("s2", {"x": "BIGINT"}),
        lambda: session.tables(),
        lambda: stream.push({"x": [1]}),
    ]:
        with pytest.raises(pelton.ClosedError, match="was closed"):
            use()
    assert result.to_pylist() == [{"x": 1}], "a result stays"
    result.close()
    with pytest.raises(pelton.ClosedError):
        result.to_arrow()


def test_the_interpreter_goes_on_while_a_query_computes(session):
    session.register("big", pa.table({"x": pa.array(range(500_000), pa.int64())}))
    counted, stop = 0, threading.Event()

    def count():
        nonlocal counted
        while not stop.is_set():
            counted += 1

    thread = threading.Thread(target=count)
    thread.start()
    result = session.start("SELECT COUNT(DISTINCT x) AS a, COUNT(DISTINCT x * 7) AS b FROM big")
    before = counted
    result.wait()
    during = counted - before
    stop.set()
    thread.join()
    assert during > 1000


def test_ctrl_c_stops_a_run_within_a_second():
    script = """
import os, signal, threading, time, pelton
session = pelton.Session()
threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
session.sql("CREATE TABLE g (x BIGINT) WITH ('connector' = 'datagen')")
result = session.start("SELECT x FROM g WHERE x < 0")
start = time.monotonic()
try:
    result.wait()
except KeyboardInterrupt:
    print(f"stopped after {time.monotonic() - start:.1f}", result.done)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30)
    assert done.stdout.startswith("stopped after ") and done.stdout.endswith("True\n"), done
    assert float(done.stdout.split()[2]) < 1.5


def test_pipelines_by_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.csv").write_text("k,ts,v\na,2024-05-01 09:00:05,1\nb,2024-05-01 09:00:07,2\na,2024-05-01 09:01:30,4\n")
    (tmp_path / "q.sql").write_text(
        "CREATE TABLE t (WATERMARK FOR ts AS ts - INTERVAL '5' SECOND) "
        "WITH ('connector' = 'filesystem', 'path' = 'in.csv', 'history.path' = 'h');\n"
        "CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = 'out.parquet', 'sink.mode' = 'overwrite') AS "
        "SELECT window_start, SUM(v) AS s FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) "
        "GROUP BY window_start, window_end;\n"
    )
    assert pelton.run("q.sql").rows_in == 3
    verdict = pelton.verify("q.sql")
    assert verdict and verdict.rows == 3 and "equal" in str(verdict)
    assert pelton.replay("q.sql", "again").rows_out == 2
    assert pd.read_parquet("again/out.parquet")["s"].tolist() == pd.read_parquet("out.parquet")["s"].tolist()
    assert "t" in str(pelton.explain(tmp_path / "q.sql"))
    segment = next((tmp_path / "h").rglob("*.parquet"))
    frame = pl.read_parquet(segment)
    frame.with_columns(v=pl.col("v") + 1).write_parquet(segment)
    verdict = pelton.verify("q.sql")
    assert not verdict and verdict.segments and "DIFFERENT" in str(verdict)
    with pytest.raises(pelton.InputError, match="cannot read the file 'none.sql'"):
        pelton.run("none.sql")


EVERY_TYPE = {
    "truth": pa.array([True, None]),
    "small": pa.array([1, 2], pa.int8()),
    "unsigned": pa.array([1, 2**63], pa.uint64()),
    "money": pa.array([decimal.Decimal("1.25"), None]),
    "day": pa.array([dt.date(2024, 1, 1), None]),
    "time": pa.array([dt.datetime(2024, 1, 1), None], pa.timestamp("us")),
    "bytes": pa.array([b"a", None]),
    "list": pa.array([[1, 2], None]),
    "row": pa.array([{"a": 1, "b": "x"}, None]),
    "map": pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int64())),
    "half": pa.array([1.5, None], pa.float16()),
    "view": pa.array(["q", None], pa.string_view()),
    "seconds": pa.array([1, None], pa.timestamp("s")),
    "narrow": pa.array([decimal.Decimal("1.5"), None], pa.decimal32(5, 1)),
    "fixed": pa.array([[1, 2], None], pa.list_(pa.int32(), 2)),
}


def test_columns_of_every_type(session):
    table = pa.table(EVERY_TYPE)
    # Of a slice, so that no buffer begins where its rows do.
    session.register("t", pa.concat_tables([table, table]).combine_chunks().slice(1, 3))
    got = session.sql("SELECT * FROM t").to_pylist()
    assert got == [table.to_pylist()[i] for i in (1, 0, 1)]


def test_ctrl_c_drains_the_command():
    text = "CREATE TABLE g (x BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '1000'); SELECT x FROM g WHERE x < 0"
    run = subprocess.Popen([sys.executable, "-m", "pelton", "run", "-e", text], stderr=subprocess.PIPE, text=True)
    time.sleep(1.5)
    run.send_signal(signal.SIGINT)
    said = run.communicate(timeout=20)[1]
    assert run.returncode == 0 and "stopped, and what was read is committed" in said, said


def test_the_command_comes_along():
    done = subprocess.run([sys.executable, "-m", "pelton", "run", "-e", "SELECT 1 + 1 AS two"], capture_output=True, text=True)
    assert done.returncode == 0 and "| 2   |" in done.stdout, done
    done = subprocess.run([sys.executable, "-m", "pelton", "run", "-e", "SELECT 1 +"], capture_output=True, text=True)
    assert done.returncode == 2 and "error:" in done.stderr
    done = subprocess.run([sys.executable, "-m", "pelton", "--version"], capture_output=True, text=True)
    assert done.stdout == f"pelton {pelton.__version__}\n"
    script = pathlib.Path(sys.executable).parent / "pelton"
    assert subprocess.run([script, "--version"], capture_output=True, text=True).stdout == done.stdout
