"""Mistakes, and what is said of them."""

import pyarrow as pa
import pytest

import pelton


def test_an_error_points_into_the_sql(session):
    session.register("payments", {"amount": [1.0]})
    with pytest.raises(pelton.SqlError) as caught:
        session.sql("SELECT amount,\n       amont\nFROM payments")
    error = caught.value
    assert (error.line, error.column, error.hint) == (2, 8, "did you mean `amount`?")
    assert error.message == "unknown column `amont`"
    assert str(error) == (
        "unknown column `amont`\n --> SQL:2:8\n  |\n2 |        amont\n  |        ^^^^^\n  |\nhelp: did you mean `amount`?"
    )
    assert isinstance(error, pelton.Error) and isinstance(error, Exception)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("SELEC 1", "did you mean SELECT?"),
        ("SELECT * FROM payment", "did you mean `payments`?"),
        ("SELECT 1 AS a; SELECT 2 AS b", "there are two SELECTs, and one result"),
        ("SELECT amount FROM payments ORDER", "unexpected `ORDER`"),
        ("CREATE TABLE x (a INT) WITH ('connector' = 'pyhton')", "did you mean 'python'?"),
        ("CREATE TABLE x WITH ('connector' = 'python')", "nothing in Python tells its columns"),
    ],
)
def test_mistakes_in_sql(session, text, why):
    session.register("payments", {"amount": [1.0]})
    with pytest.raises(pelton.SqlError) as caught:
        session.sql(text)
    assert why in str(caught.value)
    assert caught.value.line == 1


def test_mistakes_outside_of_sql(session):
    with pytest.raises(pelton.InputError, match="pelton.thread"):
        pelton.Session(settings={"pelton.thread": 1})
    with pytest.raises(pelton.SchemaError, match="object gives no Arrow columns"):
        session.register("t", object())
    with pytest.raises(pelton.SchemaError, match="column 'd' is Duration"):
        session.register("t", pa.table({"d": pa.array([1], pa.duration("s"))}))
    with pytest.raises(pelton.SchemaError, match="two columns are called 'A'"):
        session.register("t", pa.table([[1], [2]], names=["a", "A"]))
    with pytest.raises(pelton.InputError, match="threads is 0, wanted a number above 0"):
        pelton.Session(threads=0)
    with pytest.raises(pelton.SchemaError, match="there are no columns in it"):
        session.register("t", pa.table({}))
    with pytest.raises(pelton.InputError, match="is no name of a table"):
        session.register("a`b", {"x": [1]})
    with pytest.raises(pelton.InputError, match="does not begin with a column"):
        session.register("t", {"x": [1]}, watermark="(x)")
    with pytest.raises(pelton.SqlError, match="is BIGINT, not a TIMESTAMP"):
        session.register("t", {"x": [1]}, watermark="x - INTERVAL '1' SECOND")
    with pytest.raises(pelton.InputError, match="unknown type `INTT`"):
        session.stream("s", {"x": "INTT"})
    with pytest.raises(pelton.SqlError, match="unknown option 'histroy.path'"):
        session.stream("s", {"x": "INT"}, options={"histroy.path": "h"})
        session.sql("SELECT x FROM s").to_arrow()
    with pytest.raises(pelton.InputError, match="has a history"):
        session.verify("SELECT 1 AS one")


def test_a_file_that_breaks_off(session, tmp_path):
    path = tmp_path / "rows.csv.gz"
    import gzip

    path.write_bytes(gzip.compress(b"x\n" + b"1\n" * 100_000)[:-200])
    session.sql(f"CREATE TABLE t (x BIGINT) WITH ('connector' = 'filesystem', 'path' = '{path}')")
    with pytest.raises(pelton.RunError) as caught:
        session.sql("SELECT x FROM t")
    assert "rows.csv.gz" in str(caught.value)
    assert caught.value.result._run.table().num_rows > 0, "what was good is there"
