"""Rows as Python has them, as Arrow columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa


def batch(data: dict[str, Any] | list[dict[str, Any]], like: pa.Schema | None) -> pa.RecordBatch:
    """A batch of a dict of lists (or arrays), or of a list of dicts, in which a key that a row lacks is NULL.

    like: columns whose types are taken for those of the same name; the types of others are what pyarrow makes of the values.
    """
    import pyarrow as pa

    if isinstance(data, list):
        names = dict.fromkeys(name for row in data for name in row)
        data = {name: [row.get(name) for row in data] for name in names}
    types = {} if like is None else {column.name.lower(): column.type for column in like}

    def array(name: str, values: Any) -> pa.Array:
        if isinstance(values, pa.ChunkedArray):
            return values.combine_chunks()
        return values if isinstance(values, pa.Array) else pa.array(values, types.get(name.lower()))

    return pa.record_batch([array(str(name), values) for name, values in data.items()], names=[str(name) for name in data])
