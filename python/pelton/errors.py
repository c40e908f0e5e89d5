"""What can go wrong, as exceptions. All of them are `pelton.Error`."""

from __future__ import annotations


class Error(Exception):
    """Something went wrong in Pelton. Its text says what, where, and what to do next.

    `message` is the text alone, `hint` the advice, `line` and `column` the place in the SQL, from 1; each of the last three may be `None`.
    """

    def __init__(
        self,
        text: str,
        *,
        message: str | None = None,
        hint: str | None = None,
        line: int | None = None,
        column: int | None = None,
    ) -> None:
        super().__init__(text)
        self.message = text if message is None else message
        self.hint = hint
        self.line = line
        self.column = column


class InputError(Error):
    """A mistake outside of the SQL: an option, a path, a name."""


class SqlError(InputError):
    """A mistake in the SQL. The text shows the place, `line` and `column` name it."""


class SchemaError(InputError):
    """Data whose columns are not those that are wanted, or that SQL has no types for."""


class ClosedError(InputError):
    """A session, a stream or a result was used after it was closed."""


class RunError(Error):
    """The world went wrong while a query ran: a disk, a server, a corrupt file. What was good is in `result`, if there is any."""

    #: The result as far as it came, where part of the input could not be read.
    result: object | None = None


class CallbackError(Error):
    """A function of yours that Pelton called has raised an exception (`__cause__`), or has given what cannot be used."""

    #: As of `RunError`.
    result: object | None = None


class UdfError(CallbackError):
    """A function that SQL called has raised an exception (`__cause__`), or has answered values of the wrong number or type."""
