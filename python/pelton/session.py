"""Sessions: tables, streams, functions and models, and the SQL over them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Union

from pelton._pelton import Core, Planned, Stream
from pelton.errors import InputError
from pelton.functions import OnError, Type, Udf
from pelton.models import model_bytes
from pelton.result import Plan, Result, Stats, Verdict, escaped, finish

if TYPE_CHECKING:
    import pyarrow as pa

#: Columns: a `pyarrow.Schema`, or names with types.
Schema = Union["pa.Schema", Mapping[str, Type]]
#: Batches that a stream keeps for each query over it, before a push waits.
CAPACITY = 64


class Session:
    """Tables, streams, functions and models, and the SQL over them.

        session = pelton.Session()
        session.register("payments", frame)
        session.sql("SELECT country, SUM(amount) AS money FROM payments GROUP BY country").to_polars()

    threads: worker threads; one a core if not said.
    batch_rows: rows of a micro-batch at most; no answer depends on it.
    settings: as by `SET`, and stronger: `{"pelton.time-zone": "Europe/Vienna"}`.
    progress: `None` shows a line where somebody may be looking, on a terminal or in a notebook; `False` never; `True` on any stderr.

    A session may be used from several threads. It is a context manager; closing it ends its streams.
    """

    def __init__(
        self,
        *,
        threads: int | None = None,
        batch_rows: int | None = None,
        settings: Mapping[str, object] | None = None,
        progress: bool | None = None,
    ) -> None:
        for name, value in (("threads", threads), ("batch_rows", batch_rows)):
            if value is not None and value < 1:
                raise InputError(f"{name} is {value}, wanted a number above 0")
        pairs = [(key, _setting(value)) for key, value in (settings or {}).items()]
        self._core = Core(pairs, threads, batch_rows)
        self._progress = progress

    # --- SQL ----------------------------------------------------------------------------------------------------------------

    def sql(self, text: str, /) -> Result | Plan:
        """Runs SQL: any number of statements, of which one may be a `SELECT`.

        Where all that is read has an end, it is run to it. A query over a stream has none: it is started, and its live result returned.
        `EXPLAIN` returns a `Plan`. All queries of one text share one pass of each source.
        """
        planned = self._core.plan(text)
        if planned.explained is not None:
            if planned.runs:
                raise InputError("EXPLAIN and queries that are to run are in one text: give each a call of its own")
            return Plan(planned.explained)
        if planned.bounded:
            result = self._result(planned, live=False)
            result.wait()
            return result
        return self._result(planned, live=True)

    def start(self, text: str, /, *, on_batch: Callable[[pa.RecordBatch], object] | None = None) -> Result:
        """Starts SQL and returns its live result at once, also where the input has an end.

        on_batch: called with each batch of the `SELECT`, on a thread of the engine; the query waits for it. Such a result has no rows
        of its own. What it raises ends the query.
        """
        return self._result(self._core.plan(text), live=True, on_batch=on_batch)

    def _result(self, planned: Planned, *, live: bool, on_batch: Callable[[pa.RecordBatch], object] | None = None) -> Result:
        run = self._core.start(planned, keeps=not live, on_batch=on_batch)
        if run.done and run.stats()["batches"] == 0:
            run.check()  # what cannot be run at all is said at once
        return Result(run, live=live, progress=self._progress)

    def explain(self, text: str, /, *, placement: bool = False) -> Plan:
        """How the queries of a text would run; with `placement`, on which devices and why. Runs none of them."""
        planned = self._core.plan(text)
        return Plan(self._core.explain(planned, placement=placement) if planned.runs else planned.explained or "")

    def verify(self, text: str, /) -> Verdict:
        """Runs queries again over the history that their last run has kept, and compares the digests of input and results.

        The text is that of the run. Statements that create something are to be left out where this session has run them.
        """
        run = self._core.start(self._core.plan(text), keeps=False, verify=True)
        finish(run, self._progress)
        for error in run.check():
            raise error
        found = run.verdict()
        assert found is not None
        if not found.pop("ended") and found["holds"]:
            raise InputError("the comparison was stopped before its end")
        return Verdict(**found)

    def replay(self, text: str, /, into: str | os.PathLike[str], *, overwrite: bool = False) -> Stats:
        """Runs queries over the history of their last run, each result to `into/NAME.parquet`."""
        run = self._core.start(self._core.plan(text), keeps=False, replay_into=os.fspath(into), overwrite=overwrite)
        finish(run, self._progress)
        for error in run.check():
            raise error
        return Stats(**run.stats())

    # --- tables -------------------------------------------------------------------------------------------------------------

    def register(self, name: str, data: Any, /, *, watermark: str | None = None) -> None:
        """Makes a table of data in memory, in the place of an earlier one of this name.

        data: of pyarrow, polars, pandas or duckdb; anything with `__arrow_c_stream__` or `__arrow_c_array__`; a dict of lists, or a list
        of dicts. Columns are not copied; what has another form in SQL (views of strings, times in zones) is converted as it is read.
        watermark: as of `stream`, for windows over the table.
        """
        self._core.register(name, data, _create(name, watermark, bounded=True))

    def stream(
        self,
        name: str,
        schema: Schema | None = None,
        /,
        *,
        watermark: str | None = None,
        capacity: int = CAPACITY,
        options: Mapping[str, object] | None = None,
    ) -> Stream:
        """A table of batches that you push, in the place of an earlier one of this name.

        schema: a `pyarrow.Schema`, or names with types; left out for a table that was declared in SQL with `'connector' = 'python'`.
        watermark: an expression that begins with the column of the event time: `"ts - INTERVAL '5' SECOND"`.
        capacity: batches that wait for a query at most; then `push` waits.
        options: further options of the table, such as `{"history.path": "history"}`.
        """
        if schema is None:
            if watermark is not None or options:
                raise InputError("watermark and options are those of the table's CREATE TABLE")
            return self._core.open_stream(name, capacity)
        return self._core.create_stream(name, _columns(schema), capacity, _create(name, watermark, options=options))

    def source(
        self,
        name: str,
        batches: Callable[[], Iterable[Any]],
        schema: Schema,
        /,
        *,
        watermark: str | None = None,
        bounded: bool = True,
        options: Mapping[str, object] | None = None,
    ) -> None:
        """A table of what an iterable gives, such as a generator: batches, tables, dicts of lists or lists of dicts.

        batches: called once for each run that reads the table, on a thread of its own; what it answers is read a few batches ahead.
        bounded: whether it ends by itself.
        """
        create = _create(name, watermark, bounded=bounded, options=options)
        self._core.create_source(name, batches, _columns(schema), bounded, create)

    def sink(self, name: str, write: Any, schema: Schema | None = None, /) -> None:
        """A table whose rows go to you: `INSERT INTO name SELECT …`.

        write: a function that is called with `pyarrow.RecordBatch`es, on a thread of the engine, one call at a time; or an object with
        the methods `write(batch)` and, if it likes, `commit()` and `abort()`, of which one ends each run.
        schema: as of `stream`.
        """
        create = "" if schema is None else _create(name, None)
        self._core.put_sink(name, write, None if schema is None else _columns(schema), create)

    def tables(self) -> list[dict[str, Any]]:
        """The tables there are: name, connector, whether they are bounded, columns with their types."""
        keys = ("name", "connector", "bounded", "columns")
        return [dict(zip(keys, (*row[:3], dict(row[3])))) for row in self._core.tables()]

    # --- functions and models -----------------------------------------------------------------------------------------------

    def register_udf(
        self,
        function: Udf | Callable[..., Any],
        /,
        *,
        name: str | None = None,
        args: Sequence[Type] | None = None,
        returns: Type | None = None,
        on_error: OnError = "raise",
    ) -> None:
        """Makes a function known to SQL, in the place of an earlier one of its name.

        function: one of `pelton.udf`, or any function together with `args` and `returns`.
        """
        if not isinstance(function, Udf):
            if args is None or returns is None:
                raise InputError("args and returns are wanted: the types of the arguments, and of the answer")
            function = Udf(function, args, returns, name, on_error)
        if on_error not in ("raise", "dead-letter") or function.on_error not in ("raise", "dead-letter"):
            raise InputError(f"on_error is '{function.on_error}', wanted 'raise' or 'dead-letter'")
        sql_name = name or function.name
        if not sql_name.isidentifier():
            raise InputError(f"'{sql_name}' is no name of a function: give it one with name=…")
        blames_rows = function.on_error == "dead-letter"
        self._core.register_function(sql_name, function.function, list(function.args), function.returns, blames_rows)

    def register_model(self, name: str, model: Any, /) -> None:
        """Makes a model known to SQL as `PREDICT(name, …)`, in the place of an earlier one of its name.

        model: a `Booster` of XGBoost or LightGBM or one of their estimators; a tree ensemble of scikit-learn (decision trees, random
        forests, extra trees, gradient boosting, histogram gradient boosting); the path of a model of the first two, or its bytes.
        Of a classifier of two classes the probability of the second is answered.
        """
        self._core.register_model(name, model_bytes(model))

    # --- the end ------------------------------------------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """True once it was closed."""
        return self._core.closed

    def close(self) -> None:
        """Ends the streams of the session, so that queries over them come to their end. May be called again."""
        self._core.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        if self.closed:
            return "<pelton.Session closed>"
        return f"<pelton.Session with the tables: {', '.join(t['name'] for t in self.tables()) or 'none'}>"

    def _repr_html_(self) -> str:
        if self.closed:
            return "<div><b>Pelton</b> session, closed</div>"
        rows = "".join(
            f"<tr><td>{escaped(t['name'])}</td><td>{t['connector']}</td><td>{'bounded' if t['bounded'] else 'stream'}</td>"
            f"<td>{escaped(', '.join(f'{name} {kind}' for name, kind in t['columns'].items()))}</td></tr>"
            for t in self.tables()
        )
        head = "<tr><th>table</th><th>connector</th><th>kind</th><th>columns</th></tr>"
        return f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>"


def _setting(value: object) -> str:
    """A value as `SET` takes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _columns(schema: Schema) -> Any:
    return dict(schema) if isinstance(schema, Mapping) else schema


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _first_name(expression: str) -> str:
    """The name, quoted or not, that an expression begins with; nothing if it begins otherwise."""
    text = expression.strip()
    if text.startswith("`"):
        return text[: text.find("`", 1) + 1]
    end = next((at for at, letter in enumerate(text) if not (letter.isalnum() or letter == "_")), len(text))
    return text[:end]


def _create(
    name: str, watermark: str | None, *, bounded: bool = False, options: Mapping[str, object] | None = None
) -> str:
    """The statement that makes a table whose columns Python tells."""
    if not name or "`" in name:
        raise InputError(f"'{name}' is no name of a table")
    time = ""
    if watermark is not None:
        column = _first_name(watermark)
        if not column:
            raise InputError(
                f"the watermark '{watermark}' does not begin with a column\nhelp: for example ts - INTERVAL '5' SECOND"
            )
        time = f" (\n    WATERMARK FOR {column} AS {watermark}\n)"
    all_options = {"connector": "python", "name": name, **({"scan.bounded": True} if bounded else {}), **(options or {})}
    pairs = ", ".join(f"{_quoted(key)} = {_quoted(_setting(value))}" for key, value in all_options.items())
    return f"DROP TABLE IF EXISTS `{name}`;\nCREATE TABLE `{name}`{time} WITH ({pairs});"
