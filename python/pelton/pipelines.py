"""Pipelines as they stand in files: run, explained, replayed and verified, as the `pelton` command does."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Union

from pelton.errors import InputError
from pelton.result import Plan, Result, Stats, Verdict
from pelton.session import Session

#: SQL, or the path of a file with it: one that ends in `.sql`.
Pipeline = Union[str, "os.PathLike[str]"]


def _text(pipeline: Pipeline) -> str:
    if isinstance(pipeline, str) and not pipeline.endswith(".sql"):
        return pipeline
    try:
        with open(pipeline, encoding="utf-8") as file:
            return file.read()
    except OSError as error:
        raise InputError(f"cannot read the file '{os.fspath(pipeline)}': {error.strerror}") from error


def run(pipeline: Pipeline, /, *, settings: Mapping[str, object] | None = None, progress: bool | None = None) -> Stats:
    """Runs a pipeline to its end and answers what it has counted. Ctrl-C stops it in order: what was read is committed."""
    result = Session(settings=settings, progress=progress).sql(_text(pipeline))
    if isinstance(result, Result):
        result.wait()
        return result.stats
    raise InputError("there is nothing to run: the text only explains\nhelp: pelton.explain shows plans")


def explain(pipeline: Pipeline, /, *, placement: bool = False, settings: Mapping[str, object] | None = None) -> Plan:
    """How a pipeline would run; with `placement`, on which devices and why."""
    return Session(settings=settings).explain(_text(pipeline), placement=placement)


def replay(
    pipeline: Pipeline,
    /,
    into: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    settings: Mapping[str, object] | None = None,
    progress: bool | None = None,
) -> Stats:
    """Runs a pipeline over the history of its last run, each result to `into/NAME.parquet`."""
    return Session(settings=settings, progress=progress).replay(_text(pipeline), into, overwrite=overwrite)


def verify(pipeline: Pipeline, /, *, settings: Mapping[str, object] | None = None, progress: bool | None = None) -> Verdict:
    """Runs a pipeline again over the history of its last run, and compares the digests of input and results."""
    return Session(settings=settings, progress=progress).verify(_text(pipeline))
