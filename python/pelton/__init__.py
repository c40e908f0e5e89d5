"""Pelton: SQL over streams and tables, with the same bits however the rows come.

    >>> import pelton
    >>> session = pelton.Session()
    >>> session.register("payments", {"country": ["AT", "DE", "AT"], "amount": [12.5, 80.0, 7.25]})
    >>> session.sql("SELECT country, SUM(amount) AS money FROM payments GROUP BY country ORDER BY country").to_pylist()
    [{'country': 'AT', 'money': 19.75}, {'country': 'DE', 'money': 80.0}]
"""

from pelton._pelton import Stream, __version__
from pelton.errors import (
    CallbackError,
    ClosedError,
    Error,
    InputError,
    RunError,
    SchemaError,
    SqlError,
    UdfError,
)
from pelton.functions import Udf, udf
from pelton.pipelines import explain, replay, run, verify
from pelton.result import Plan, Result, Stats, Verdict
from pelton.session import Session

__all__ = [
    "CallbackError",
    "ClosedError",
    "Error",
    "InputError",
    "Plan",
    "Result",
    "RunError",
    "SchemaError",
    "Session",
    "SqlError",
    "Stats",
    "Stream",
    "Udf",
    "UdfError",
    "Verdict",
    "__version__",
    "explain",
    "replay",
    "run",
    "udf",
    "verify",
]
