"""What the tests of the Python package share."""

import datetime as dt
import random

import pyarrow as pa
import pytest

import pelton

START = dt.datetime(2024, 5, 1)


@pytest.fixture
def session():
    """A session that is closed after the test."""
    with pelton.Session(threads=2, progress=False) as opened:
        yield opened


def payments(rows: int, seed: int = 1) -> pa.RecordBatch:
    """Rows whose times are nearly in order, with amounts whose sums depend on the order of additions."""
    dice = random.Random(seed)
    times = [START + dt.timedelta(milliseconds=100 * i - dice.randrange(3000)) for i in range(rows)]
    return pa.record_batch(
        {
            "ts": pa.array(times, pa.timestamp("ms")),
            "card": pa.array([f"c{dice.randrange(20)}" for _ in range(rows)]),
            "amount": pa.array([dice.choice([1e16, 0.1, -1e16, 3.7]) * dice.random() for _ in range(rows)]),
        }
    )


PAYMENTS = {"ts": "TIMESTAMP(3)", "card": "STRING", "amount": "DOUBLE"}
WATERMARK = "ts - INTERVAL '2' SECOND"
MINUTES = """
SELECT window_start, card, COUNT(*) AS n, SUM(amount) AS money
FROM TABLE(TUMBLE(TABLE payments, DESCRIPTOR(ts), INTERVAL '1' MINUTE))
GROUP BY window_start, window_end, card
"""


def pytest_terminal_summary(terminalreporter):
    """A last line as all scripts of the gate have one."""
    count = lambda *kinds: sum(len(terminalreporter.stats.get(kind, ())) for kind in kinds)
    terminalreporter.write_line(f"{count('passed')} passed, {count('failed', 'error')} failed")
