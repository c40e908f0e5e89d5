"""Functions of yours for SQL, called with whole columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, Union

if TYPE_CHECKING:
    import pyarrow as pa

#: A type, as SQL writes it (`"DOUBLE"`, `"TIMESTAMP(3)"`) or as pyarrow has it.
Type = Union[str, "pa.DataType"]
#: What a failure of a function means: the end of the run, or a dead letter for the row that is to blame.
OnError = Literal["raise", "dead-letter"]


class Udf:
    """A function with what SQL must know of it. Made by `pelton.udf`, made known by `Session.register_udf`."""

    def __init__(
        self, function: Callable[..., Any], args: Sequence[Type], returns: Type, name: str | None, on_error: OnError
    ) -> None:
        self.function = function
        self.args = tuple(args)
        self.returns = returns
        self.name = str(name or getattr(function, "__name__", ""))
        self.on_error: OnError = on_error

    def __call__(self, *arguments: Any) -> Any:
        """Calls the function itself, as if it were not decorated."""
        return self.function(*arguments)

    def __repr__(self) -> str:
        return f"<pelton.Udf {self.name}({', '.join(map(str, self.args))}) -> {self.returns}>"


def udf(
    args: Sequence[Type], returns: Type, *, name: str | None = None, on_error: OnError = "raise"
) -> Callable[[Callable[..., Any]], Udf]:
    """Makes a function of columns usable in SQL.

        @pelton.udf(args=["DOUBLE", "DOUBLE"], returns="DOUBLE")
        def ratio(a, b):
            return pyarrow.compute.divide(a, b)

        session.register_udf(ratio)

    The function is called with `pyarrow.Array`s, one for each argument, and answers an array of as many values: pyarrow's, numpy's,
    or anything that `pyarrow.array` takes. It must be a pure function of its rows: Pelton cuts rows into batches as it likes, calls on
    any thread, and may call twice.

    on_error: `"raise"` ends the run with `UdfError`; `"dead-letter"` looks for the row that is to blame, which becomes a dead letter.
    """

    def decorate(function: Callable[..., Any]) -> Udf:
        return Udf(function, args, returns, name, on_error)

    return decorate
