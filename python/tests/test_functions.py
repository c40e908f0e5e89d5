"""Functions of Python's in SQL."""

import subprocess
import sys
import threading
import time

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import pelton


@pytest.fixture
def table(session):
    session.register("t", {"x": [1.0, 2.0, None, 4.0], "name": ["a", "b", "a", None]})
    return session


@pelton.udf(args=["DOUBLE"], returns="DOUBLE")
def double(x):
    return pc.multiply(x, 2.0)


def test_a_function_over_columns(table):
    table.register_udf(double)
    assert double(pa.array([1.0])).to_pylist() == [2.0]
    assert [r["y"] for r in table.sql("SELECT double(x) AS y FROM t").to_pylist()] == [2.0, 4.0, None, 8.0]
    assert table.sql("SELECT DOUBLE(1) AS y").to_pylist() == [{"y": 2.0}]
    assert table.sql("SELECT SUM(double(x)) AS y FROM t WHERE double(x) > 3").to_pylist() == [{"y": 12.0}]


@pytest.mark.parametrize(
    "body",
    [
        lambda x: np.asarray(x.to_numpy(zero_copy_only=False)) * 2,
        lambda x: (pl.Series(x) * 2),
        lambda x: [None if v is None else v * 2 for v in x.to_pylist()],
        lambda x: pa.chunked_array([pc.multiply(x, 2.0)]),
        lambda x: pc.multiply(x, 2.0).cast(pa.float32()),
    ],
    ids=["numpy", "polars", "list", "chunks", "floats"],
)
def test_answers_of_every_kind(table, body):
    table.register_udf(body, name="twice", args=[pa.float64()], returns=pa.float64())
    got = [r["y"] for r in table.sql("SELECT twice(x) AS y FROM t WHERE x IS NOT NULL").to_pylist()]
    assert got == [2.0, 4.0, 8.0]


def test_strings_and_several_arguments(table):
    @pelton.udf(args=["STRING", pa.int64()], returns="STRING")
    def repeat(text, times):
        return pc.binary_repeat(text, times)

    with pytest.raises(pelton.InputError, match="there is a function REPEAT already"):
        table.register_udf(repeat)
    table.register_udf(repeat, name="times_over")
    assert table.sql("SELECT times_over(name, 2) AS r FROM t WHERE name = 'b'").to_pylist() == [{"r": "bb"}]


def test_a_function_is_computed_alike_for_every_cut():
    digests = set()
    for rows in (1, 100, 65_536):
        with pelton.Session(batch_rows=rows) as session:
            session.register("t", {"x": [float(i) for i in range(1000)]})
            session.register_udf(double)
            digests.add(session.sql("SELECT double(x) AS y FROM t").digest)
    assert len(digests) == 1


def raises(x):
    raise KeyError("no such thing")


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (raises, "the function bad: raised KeyError: 'no such thing'"),
        (lambda x: pa.array([1.0]), "the function bad: returned 1 values for 4 rows"),
        (lambda x: pa.array(["a"] * len(x)), "the function bad: returned STRING, but was registered with DOUBLE"),
        (lambda x: None, "the function bad: raised"),
        (lambda x, y: x, "the function bad: raised TypeError"),
    ],
    ids=["raises", "wrong length", "wrong type", "nothing", "wrong arguments"],
)
def test_a_function_that_fails(table, body, why):
    table.register_udf(body, name="bad", args=["DOUBLE"], returns="DOUBLE")
    with pytest.raises(pelton.UdfError) as caught:
        table.sql("SELECT bad(x) AS y FROM t")
    assert why in str(caught.value)
    if body is raises:
        assert isinstance(caught.value.__cause__, KeyError)
        assert caught.value.__cause__.__traceback__.tb_frame.f_code.co_name == "raises"
    assert table.sql("SELECT COUNT(*) AS n FROM t").to_pylist() == [{"n": 4}], "the session goes on"


def test_a_row_that_is_to_blame_is_a_dead_letter(table):
    def root(x):
        values = [v for v in x.to_pylist() if v is not None]
        if any(v == 2.0 for v in values):
            raise ValueError("not this one")
        return x

    table.register_udf(root, name="root", args=["DOUBLE"], returns="DOUBLE", on_error="dead-letter")
    result = table.sql("SELECT root(x) AS y FROM t")
    assert [r["y"] for r in result.to_pylist()] == [1.0, None, 4.0]
    assert result.stats.dead_letters == 1


def test_wrong_use(table):
    table.register_udf(double)
    with pytest.raises(pelton.SqlError, match=r"DOUBLE\(STRING\): wanted DOUBLE\(DOUBLE\)") as caught:
        table.sql("SELECT double(name) FROM t")
    assert caught.value.line == 1
    with pytest.raises(pelton.InputError, match="there is a function UPPER already"):
        table.register_udf(double, name="upper")
    with pytest.raises(pelton.InputError, match="args and returns are wanted"):
        table.register_udf(lambda x: x)
    with pytest.raises(pelton.InputError, match="is no name of a function"):
        table.register_udf(lambda x: x, args=["DOUBLE"], returns="DOUBLE")
    with pytest.raises(pelton.InputError, match="unknown type `DUBLE`"):
        table.register_udf(lambda x: x, name="f", args=["DUBLE"], returns="DOUBLE")


def test_a_function_that_uses_the_session(table):
    def look(x):
        n = table.sql("SELECT COUNT(*) AS n FROM t").to_pylist()[0]["n"]
        return [float(n)] * len(x)

    table.register_udf(look, name="look", args=["DOUBLE"], returns="DOUBLE")
    assert [r["y"] for r in table.sql("SELECT look(x) AS y FROM t").to_pylist()] == [4.0] * 4


def test_a_slow_function_does_not_hold_other_threads(table):
    inside = threading.Event()

    def slow(x):
        inside.set()
        time.sleep(0.5)
        return x

    table.register_udf(slow, name="slow", args=["DOUBLE"], returns="DOUBLE")
    result = table.start("SELECT slow(x) AS y FROM t")
    assert inside.wait(5)
    start = time.monotonic()
    assert table.sql("SELECT 1 AS one").to_pylist() == [{"one": 1}]
    assert time.monotonic() - start < 0.4
    assert result.to_arrow().num_rows == 4


def test_ctrl_c_does_not_wait_for_a_slow_function():
    script = """
import os, signal, threading, time, pelton
session = pelton.Session()
session.register("t", {"x": [1.0]})
session.register_udf(lambda x: time.sleep(20) or x, name="slow", args=["DOUBLE"], returns="DOUBLE")
threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
start = time.monotonic()
try:
    session.sql("SELECT slow(x) FROM t")
except KeyboardInterrupt:
    print(f"{time.monotonic() - start:.2f}", flush=True)
"""
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert 0.4 < float(done.stdout) < 1.5, done
    assert time.monotonic() - start < 10, "the process ends without waiting for the function"
