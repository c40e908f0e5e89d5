"""What a query gives: rows, counts, plans, verdicts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from pelton.errors import ClosedError, Error, InputError
from pelton.progress import Progress

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from pelton._pelton import Run

#: How long Python waits for the engine before it looks whether it was interrupted.
LOOK_S = 0.05
#: How long a run that is to stop may take to drain, before it is left to itself.
DRAIN_S = 0.7
#: Rows that are shown of a table.
SHOWN_ROWS = 20


def escaped(text: object) -> str:
    """Text for HTML."""
    import html  # seldom needed, and a tenth of what importing this package may take

    return html.escape(str(text))


class Stats(NamedTuple):
    """What a run has counted so far."""

    #: Rows that came from the sources.
    rows_in: int
    #: Rows that were given out.
    rows_out: int
    #: Rows that were late for at least one of their windows.
    late: int
    #: Rows and records that were refused, late ones included.
    dead_letters: int
    #: Micro-batches.
    batches: int
    #: The least watermark of all sources; `None` without one, and at the end.
    watermark: str | None
    #: Wall time.
    seconds: float
    #: True once the run has ended.
    done: bool
    #: For each result and table that was written, the digest of its rows; once the run has ended.
    digests: Mapping[str, str]

    def __str__(self) -> str:
        rate = self.rows_in / self.seconds if self.seconds > 0 else 0.0
        text = f"{self.rows_in:,} rows in, {self.rows_out:,} out, {self.seconds:.2f} s, {rate:,.0f} rows/s"
        if self.late:
            text += f", {self.late:,} late"
        if self.dead_letters:
            text += f", {self.dead_letters:,} dead letters"
        if self.watermark:
            text += f", watermark {self.watermark}"
        return text

    def _repr_html_(self) -> str:
        state = "done" if self.done else "running"
        return f"<div><b>Pelton</b> {state}: {escaped(self)}</div>"


class Plan:
    """How queries would run: the steps, from the sinks up to the sources. `text` is what it shows."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return f"<pre>{escaped(self.text)}</pre>"


class Verdict(NamedTuple):
    """What `verify` has found. True in a condition if everything is as it was."""

    #: True if everything is as it was.
    holds: bool
    #: Per sink: the digest of the live run, and that of the replay.
    sinks: Mapping[str, tuple[str, str]]
    #: Per sink that differs, which of its windows do.
    windows: Mapping[str, list[str]]
    #: Segments of history that have changed: table, file, what was found.
    segments: list[tuple[str, str, str]]
    #: Bounded tables whose content has changed.
    tables: list[str]
    #: Rows that were replayed.
    rows: int

    def __bool__(self) -> bool:
        return self.holds

    def __str__(self) -> str:
        word = {True: "equal", False: "DIFFERENT"}
        lines = [f"{name}  live {was}  replay {now}  {word[was == now]}" for name, (was, now) in self.sinks.items()]
        lines += [f"segment {file} of {table}: {found}" for table, file, found in self.segments]
        lines += [f"table {table}: its content has changed since the run" for table in self.tables]
        lines += [f"sink {sink}: {window} are different" for sink, windows in self.windows.items() for window in windows]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return f"<pre>{escaped(self)}</pre>"


def finish(run: Run, progress: bool | None) -> None:
    """Waits for the end of a run. Ctrl-C, or any other exception of this thread, stops it."""
    shown = Progress(progress)
    try:
        while not run.wait(LOOK_S):
            shown.show(Stats(**run.stats()))
    except BaseException:
        run.stop()
        run.wait(DRAIN_S)
        raise
    finally:
        shown.end(Stats(**run.stats()))


class Result:
    """The rows of a query, as Arrow batches.

    Of a query that `Session.sql` has run to its end all rows are there: `for batch in result`, `to_arrow()`, `to_polars()`,
    `to_pandas()`, as often as you like. Of a live one, over a stream, rows come as they are computed, and each batch is handed out once:
    iterate, or wait for all with `to_arrow()`. Closing a live result stops its query; so does the end of a `with` block.
    """

    def __init__(self, run: Run, *, live: bool, progress: bool | None = None) -> None:
        self._run = run
        self._live = live
        self._progress = progress
        self._closed = False

    # --- the run ------------------------------------------------------------------------------------------------------------

    @property
    def live(self) -> bool:
        """True if each batch is handed out once, as it comes."""
        return self._live

    @property
    def done(self) -> bool:
        """True once the query has ended."""
        return self._run.done

    @property
    def stats(self) -> Stats:
        """What the run has counted so far."""
        return Stats(**self._run.stats())

    @property
    def digest(self) -> str | None:
        """The digest of the rows of the `SELECT`, the same for the same rows in any order; once the query has ended."""
        return self.stats.digests.get("result")

    @property
    def schema(self) -> pa.Schema | None:
        """The columns; `None` if there was no `SELECT`."""
        return self._run.schema

    def wait(self, timeout: float | None = None) -> bool:
        """Waits for the end, at most `timeout` seconds. True if the query has ended; raises what went wrong in it."""
        if timeout is None:
            finish(self._run, self._progress)
        elif not self._run.wait(timeout):
            return False
        self._check()
        return True

    def stop(self) -> None:
        """Stops the query in order: what was read is computed and given out, and what there is can still be read."""
        self._run.stop()

    def close(self) -> None:
        """Stops the query and lets go of it. May be called again."""
        if not self._closed:
            self._closed = True
            self._run.stop()
            self._run.wait(DRAIN_S)

    def __enter__(self) -> Result:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _check(self) -> None:
        for notice in self._run.notices():
            import warnings

            warnings.warn(notice, stacklevel=3)
        for error in self._run.check():
            # The rest of the input was read, and its answer is there.
            error.result = self
            raise error

    def _open(self) -> None:
        if self._closed:
            raise ClosedError("this result was closed")

    # --- the rows -----------------------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """The batches, as `pyarrow.RecordBatch`es, in the order of the result. Waits for those of a live one."""
        at = 0
        while True:
            self._open()
            while not self._run.ready(at, LOOK_S):
                self._open()
            done = self._run.done  # before looking, so that a last batch is not passed over
            batch = self._run.take(at)
            if batch is None:
                if done:
                    break
                continue
            at += 0 if self._live else 1
            yield batch
        self._check()

    async def __aiter__(self) -> AsyncIterator[pa.RecordBatch]:
        """The same without blocking the event loop."""
        import asyncio  # takes a third of what importing this package may take

        loop = asyncio.get_running_loop()
        at = 0
        while True:
            self._open()
            if not await loop.run_in_executor(None, self._run.ready, at, LOOK_S):
                continue
            done = self._run.done  # before looking, so that a last batch is not passed over
            batch = self._run.take(at)
            if batch is None:
                if done:
                    break
                continue
            at += 0 if self._live else 1
            yield batch
        self._check()

    def to_arrow(self) -> pa.Table:
        """All rows as a `pyarrow.Table`; of a live result, all that were not handed out. Waits for the end."""
        self._open()
        if self._run.schema is None:
            raise InputError("there are no rows: the text has no SELECT")
        self.wait()
        return self._run.table()

    def to_polars(self) -> pl.DataFrame:
        """All rows as a `polars.DataFrame`. Waits for the end."""
        import polars

        frame = polars.from_arrow(self.to_arrow())
        assert isinstance(frame, polars.DataFrame)
        return frame

    def to_pandas(self) -> pd.DataFrame:
        """All rows as a `pandas.DataFrame`. Waits for the end."""
        return self.to_arrow().to_pandas()

    def to_pylist(self) -> list[dict[str, Any]]:
        """All rows as dicts. Waits for the end."""
        rows: list[dict[str, Any]] = self.to_arrow().to_pylist()
        return rows

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """All rows by Arrow's C interface, for whoever takes a table. Waits for the end."""
        return self.to_arrow().__arrow_c_stream__(requested_schema)

    # --- shown --------------------------------------------------------------------------------------------------------------

    def _is_shown(self) -> bool:
        return self._run.schema is not None and not self._live and not self._closed and self._run.done

    def __repr__(self) -> str:
        if not self._is_shown():
            state = "closed" if self._closed else "done" if self.done else "running"
            return f"<pelton.Result {state}: {self.stats}>"
        try:
            return text_table(self.to_arrow())
        except Error as error:
            return f"<pelton.Result failed: {error.message}>"

    def _repr_html_(self) -> str:
        if not self._is_shown():
            return self.stats._repr_html_()
        try:
            return html_table(self.to_arrow())
        except Error as error:
            return f"<pre>{escaped(error)}</pre>"


def _shown(value: object) -> str:
    return "NULL" if value is None else str(value)


def _more(table: pa.Table) -> str:
    rest = table.num_rows - SHOWN_ROWS
    return f"{table.num_rows:,} rows, of which {SHOWN_ROWS} are shown" if rest > 0 else ""


def text_table(table: pa.Table) -> str:
    """The first rows in a frame, as the command prints them."""
    rows = [[_shown(v) for v in row.values()] for row in table.slice(0, SHOWN_ROWS).to_pylist()]
    widths = [max([len(name), *(len(row[i]) for row in rows)]) for i, name in enumerate(table.column_names)]

    def line(cells: list[str]) -> str:
        return "".join(f"| {cell:<{width}} " for cell, width in zip(cells, widths)) + "|"

    frame = "".join("+" + "-" * (width + 2) for width in widths) + "+"
    text = "\n".join([frame, line(table.column_names), frame, *map(line, rows), frame])
    return text + (f"\n{_more(table)}" if _more(table) else "")


def html_table(table: pa.Table) -> str:
    """The first rows for a notebook."""
    head = "".join(f"<th>{escaped(f.name)}<br><small>{escaped(f.type)}</small></th>" for f in table.schema)
    rows = table.slice(0, SHOWN_ROWS).to_pylist()
    body = "".join("<tr>" + "".join(f"<td>{escaped(_shown(v))}</td>" for v in row.values()) + "</tr>" for row in rows)
    more = f"<small>{_more(table)}</small>" if _more(table) else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"
