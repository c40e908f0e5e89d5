"""Streams: batches that are pushed, live results, sources and sinks of Python's."""

import asyncio
import resource
import threading
import time

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from conftest import MINUTES, PAYMENTS, WATERMARK, payments

import pelton


def pushed(cut, threads=2, rows=20_000):
    """Rows and digest of the minutes over a stream to which the rows come in batches of `cut`."""
    with pelton.Session(threads=threads) as session:
        stream = session.stream("payments", PAYMENTS, watermark=WATERMARK)
        result = session.sql(MINUTES)
        assert result.live
        batch = payments(rows)
        for start in range(0, rows, cut):
            stream.push(batch.slice(start, cut))
        stream.close()
        table = result.to_arrow()
        return table.sort_by([("window_start", "ascending"), ("card", "ascending")]), result.digest, result.stats.late


def test_the_same_bits_whatever_is_pushed_at_once():
    first, digest, late = pushed(20_000)
    assert first.num_rows > 0 and late > 0, "some rows are late, and always the same"
    for cut, threads in [(1, 2), (7, 1), (1000, 2), (4096, 1)]:
        again, same, late_again = pushed(cut, threads)
        assert (same, late_again) == (digest, late), cut
        assert again.equals(first)


def test_the_same_as_from_the_command(tmp_path):
    with pelton.Session() as session:
        session.register("payments", payments(5000), watermark=WATERMARK)
        registered = session.sql(MINUTES).digest
        pl.DataFrame(payments(5000)).write_parquet(tmp_path / "payments.parquet")
        files = pelton.Session()
        files.sql(
            f"CREATE TABLE payments (ts TIMESTAMP(3), card STRING, amount DOUBLE, WATERMARK FOR ts AS {WATERMARK}) "
            f"WITH ('connector' = 'filesystem', 'path' = '{tmp_path / 'payments.parquet'}')"
        )
        assert files.sql(MINUTES).digest == registered == pushed(512, rows=5000)[1]


def test_windows_come_while_the_stream_is_open(session):
    stream = session.stream("payments", PAYMENTS, watermark=WATERMARK)
    with session.sql(MINUTES) as result:
        stream.push(payments(2000))
        first = next(iter(result))
        assert first.num_rows >= 1 and not result.done
        assert result.stats.watermark is not None
        assert "running" in repr(result)


def test_async_iteration_and_callbacks(session):
    stream = session.stream("s", {"x": "BIGINT"})
    result = session.sql("SELECT x * 2 AS y FROM s")
    seen = []
    called = session.start("SELECT x + 1 AS z FROM s", on_batch=lambda batch: seen.extend(batch["z"].to_pylist()))

    async def main():
        async def push():
            for i in range(5):
                stream.push({"x": [i]})
                await asyncio.sleep(0.01)
            stream.close()

        pushing = asyncio.create_task(push())
        rows = [y async for batch in result for y in batch["y"].to_pylist()]
        await pushing
        return rows

    assert asyncio.run(main()) == [0, 2, 4, 6, 8]
    assert called.wait(10) and seen == [1, 2, 3, 4, 5]


def test_what_is_pushed_before_a_query_waits_for_it(session):
    stream = session.stream("s", {"x": "BIGINT"}, capacity=2)
    stream.push({"x": [1]})
    stream.push([{"x": 2}])
    with pytest.raises(pelton.InputError, match="no query reads the stream s, and 2 batches wait"):
        stream.push({"x": [3]})
    stream.close()
    assert session.sql("SELECT x FROM s").to_pylist() == [{"x": 1}, {"x": 2}]
    with pytest.raises(pelton.ClosedError, match="the stream s was closed"):
        stream.push({"x": [4]})


def test_a_slow_query_holds_the_pusher_back(session):
    stream = session.stream("s", {"x": "BIGINT"}, capacity=2)
    gate = threading.Event()
    result = session.start("SELECT x FROM s", on_batch=lambda batch: gate.wait(20))
    with pytest.raises(TimeoutError, match="2 batches behind"):
        for i in range(200):
            stream.push({"x": [i]}, timeout=0.2)
    gate.set()
    stream.push({"x": [-1]}, timeout=10)
    stream.close()
    assert result.wait(10)
    assert result.stats.rows_in == i + 1, "what was refused was not pushed, all else was"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ({"x": [1]}, "there is no column 'name' in it"),
        ({"x": [1], "nmae": ["a"]}, "is 'nmae' meant to be it"),
        ({"x": [1], "name": ["a"], "more": [1]}, "the column 'more' is not of the table"),
        (pa.record_batch({"x": ["a"], "name": ["a"]}), "column 'x' is STRING, wanted BIGINT"),
        (pa.record_batch({"x": [[1]], "name": ["a"]}), "column 'x' is"),
        (7, "int gives no Arrow columns"),
    ],
)
def test_a_batch_with_a_wrong_schema(session, data, why):
    stream = session.stream("s", {"x": "BIGINT", "name": "STRING"})
    result = session.sql("SELECT x, name FROM s")
    stream.push({"x": [1], "name": ["good"]})
    with pytest.raises(pelton.SchemaError, match="does not fit the stream s") as caught:
        stream.push(data)
    assert why in str(caught.value) or "nmae" in why, caught.value
    stream.push({"x": [2], "name": ["good too"]})
    stream.close()
    assert [row["x"] for row in result.to_pylist()] == [1, 2]


def test_values_that_do_not_fit_are_dead_letters(session):
    stream = session.stream("s", {"x": "INT"})
    result = session.sql("SELECT x FROM s")
    stream.push(pa.record_batch({"x": pa.array([1, 2**40, 3], pa.int64())}))
    stream.close()
    assert [row["x"] for row in result.to_pylist()] == [1, 3]
    assert result.stats.dead_letters == 1


def test_a_table_that_sql_declares(session):
    session.sql("CREATE TABLE s (ts TIMESTAMP(3), x BIGINT, twice AS x * 2, WATERMARK FOR ts AS ts) WITH ('connector' = 'python')")
    with pytest.raises(pelton.SqlError, match="nothing in Python feeds it"):
        session.sql("SELECT x FROM s").to_arrow()
    with session.stream("s") as stream:
        assert stream.schema.names == ["ts", "x"]
        result = session.sql("SELECT twice FROM s")
        stream.push({"ts": [0], "x": [21]})
    assert result.to_pylist() == [{"twice": 42}]
    with pytest.raises(pelton.InputError, match="there is no table `nothing`"):
        session.stream("nothing")


def test_what_cannot_be_run_is_said_at_once(session):
    session.stream("s", {"x": "BIGINT"})
    with pytest.raises(pelton.SqlError, match="GROUP BY|window|aggregate"):
        session.sql("SELECT COUNT(*) AS n FROM s")


def test_many_threads_push(session):
    stream = session.stream("s", {"x": "BIGINT"}, capacity=3)
    result = session.sql("SELECT x FROM s")

    def push(number):
        for _ in range(50):
            stream.push({"x": [number] * 3})

    threads = [threading.Thread(target=push, args=(n,)) for n in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    stream.close()
    assert sorted(result.to_arrow()["x"].to_pylist()) == [n for n in range(4) for _ in range(150)]


def test_two_queries_over_one_stream_see_all_rows(session):
    stream = session.stream("s", {"x": "BIGINT"})
    results = [session.sql("SELECT x FROM s"), session.sql("SELECT x FROM s WHERE x > 1")]
    for i in range(100):
        stream.push({"x": [i]})
    stream.close()
    assert [len(r.to_pylist()) for r in results] == [100, 98]


def test_stopping_keeps_what_was_read(session):
    stream = session.stream("s", {"x": "BIGINT"})
    result = session.sql("SELECT x FROM s")
    stream.push({"x": [1, 2]})
    while result.stats.rows_out < 2:
        time.sleep(0.01)
    result.stop()
    assert result.wait(5) and result.to_arrow()["x"].to_pylist() == [1, 2]
    stream.push({"x": [3]})  # for the next query
    again = session.sql("SELECT x FROM s")
    stream.close()
    assert again.to_arrow()["x"].to_pylist() == [3]


def test_history_of_a_stream_is_verified(tmp_path):
    text = f"CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '{tmp_path}/o.parquet') AS " + MINUTES
    with pelton.Session() as session:
        stream = session.stream("payments", PAYMENTS, watermark=WATERMARK, options={"history.path": tmp_path / "h"})
        result = session.start(text)
        for i in range(4):
            stream.push(payments(1000, seed=i))
        stream.close()
        result.wait()
        session.sql("DROP TABLE out")
        verdict = session.verify(text)
        assert verdict and verdict.rows == 4000, verdict


def test_memory_stays_flat_over_a_thousand_batches(session):
    stream = session.stream("payments", PAYMENTS, watermark=WATERMARK)
    result = session.start(MINUTES, on_batch=lambda batch: None)
    batch, pushed = payments(4000), 0

    def push(times):
        nonlocal pushed
        for _ in range(times):
            later = pc.add(batch["ts"], pa.scalar(pushed * 1_000_000, pa.duration("ms")))
            stream.push(batch.set_column(0, "ts", later))
            pushed += 1

    def held():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()

    push(300)
    before = held()
    push(1000)
    grown = held() - before
    stream.close()
    assert result.wait(60) and result.stats.rows_in == 5_200_000
    assert pa.total_allocated_bytes() < 64 << 20
    assert grown < 64 << 20, f"{grown >> 20} MiB for 1000 batches of {batch.nbytes >> 10} KiB"


def test_sources_of_python(session):
    opened = []

    def batches():
        opened.append(1)
        yield {"x": [1, 2]}
        yield pa.table({"x": [3]})
        yield [{"x": 4}]

    session.source("numbers", batches, {"x": "BIGINT"})
    for _ in range(2):
        assert session.sql("SELECT SUM(x) AS s FROM numbers").to_pylist() == [{"s": 10}]
    assert len(opened) == 2


def test_a_source_that_raises(session):
    def batches():
        yield {"x": [1, 2]}
        raise ValueError("the cable was pulled")

    session.source("numbers", batches, {"x": "BIGINT"})
    with pytest.raises(pelton.CallbackError, match="the source numbers: raised ValueError: the cable was pulled") as caught:
        session.sql("SELECT x FROM numbers")
    assert isinstance(caught.value.__cause__, ValueError)
    assert caught.value.result._run.table()["x"].to_pylist() == [1, 2], "what was good is there"


def test_an_endless_source_is_stopped(session):
    ended = threading.Event()

    def batches():
        try:
            while True:
                yield {"x": [1]}
        finally:
            ended.set()

    session.source("ones", batches, {"x": "BIGINT"}, bounded=False)
    with session.sql("SELECT x FROM ones") as result:
        next(iter(result))
    assert ended.wait(5)


def test_sinks_of_python(session):
    session.register("t", {"x": [1, 2, 3]})
    rows = []
    session.sink("out", lambda batch: rows.extend(batch["y"].to_pylist()), {"y": "BIGINT"})
    assert session.sql("INSERT INTO out SELECT x * 2 FROM t").stats.rows_out == 3
    assert rows == [2, 4, 6]

    class Table:
        def __init__(self):
            self.calls = []

        def write(self, batch):
            self.calls.append(batch.num_rows)

        def commit(self):
            self.calls.append("commit")

    table = Table()
    session.sink("out", table)
    session.sql("INSERT INTO out SELECT x FROM t")
    assert sum(n for n in table.calls if n != "commit") == 3 and table.calls[-1] == "commit"

    def full(batch):
        raise OSError("no room")

    session.sink("out", full)
    with pytest.raises(pelton.CallbackError, match="the sink out: raised OSError: no room"):
        session.sql("INSERT INTO out SELECT x FROM t")
