"""What the package stands on, in Rust: `python/src/`."""

import os
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any

import pyarrow as pa

from pelton.errors import Error

__version__: str

def main(arguments: Sequence[str]) -> int:
    """Runs the `pelton` command with these arguments, its own name first. Answers the exit code."""

class Stream:
    """A stream of a session: batches go in by `push`. A context manager, which ends the stream."""

    def push(self, data: Any, /, *, timeout: float | None = None) -> None:
        """Gives rows to the queries that read the stream, in the order of the calls.

        data: a batch or table of pyarrow, polars, pandas or duckdb; anything with `__arrow_c_array__` or `__arrow_c_stream__`; a dict of
        lists, or a list of dicts.

        Waits while a query has `capacity` batches before it, at most `timeout` seconds; then `TimeoutError` is raised. Raises
        `SchemaError` if the columns are not those of the stream, and then nothing was pushed; `ClosedError` after `close`.
        """

    def close(self) -> None:
        """Ends the stream: queries come to their end, windows close. May be called again."""

    @property
    def name(self) -> str:
        """Name of its table."""

    @property
    def schema(self) -> pa.Schema:
        """Its columns."""

    @property
    def closed(self) -> bool:
        """True once it was closed."""

    def __enter__(self) -> Stream: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...

class Planned:
    """Statements that were read and planned, with the queries that are still to run."""

    @property
    def explained(self) -> str | None: ...
    @property
    def runs(self) -> bool: ...
    @property
    def bounded(self) -> bool: ...
    @property
    def schema(self) -> pa.Schema | None: ...

class Run:
    """One run of a plan."""

    def wait(self, seconds: float) -> bool: ...
    def ready(self, index: int, seconds: float) -> bool: ...
    def take(self, index: int) -> pa.RecordBatch | None: ...
    def table(self) -> pa.Table: ...
    @property
    def schema(self) -> pa.Schema | None: ...
    def stop(self) -> None: ...
    @property
    def done(self) -> bool: ...
    def notices(self) -> list[str]: ...
    def stats(self) -> dict[str, Any]: ...
    def check(self) -> list[Any]: ...
    def verdict(self) -> dict[str, Any] | None: ...

class Core:
    """What `pelton.Session` stands on."""

    def __new__(cls, settings: list[tuple[str, str]], threads: int | None, batch_rows: int | None) -> Core: ...
    def plan(self, text: str, *, whole: bool = False) -> Planned: ...
    def start(
        self,
        planned: Planned,
        *,
        keeps: bool,
        on_batch: Callable[[pa.RecordBatch], object] | None = None,
        verify: bool = False,
        replay_into: str | os.PathLike[str] | None = None,
        overwrite: bool = False,
    ) -> Run: ...
    def explain(self, planned: Planned, *, placement: bool = False) -> str: ...
    def check(self, planned: Planned) -> None: ...
    def register(self, name: str, data: Any, create: str) -> None: ...
    def create_stream(self, name: str, schema: Any, capacity: int, create: str) -> Stream: ...
    def open_stream(self, name: str, capacity: int) -> Stream: ...
    def create_source(
        self, name: str, open: Callable[[], Iterable[Any]], schema: Any, bounded: bool, create: str
    ) -> None: ...
    def put_sink(self, name: str, target: Any, schema: Any | None, create: str) -> None: ...
    def register_function(
        self, name: str, function: Callable[..., Any], arguments: list[Any], returns: Any, blames_rows: bool
    ) -> None: ...
    def register_model(self, name: str, bytes: bytes) -> None: ...
    def tables(self) -> list[tuple[str, str, bool, list[tuple[str, str]]]]: ...
    def close(self) -> None: ...
    @property
    def closed(self) -> bool: ...
