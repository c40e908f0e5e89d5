"""The line that says how a run goes."""

import sys
import types

import pytest

import pelton
from pelton import progress


@pytest.fixture
def at_once(monkeypatch):
    """Runs say how they go from the first look on."""
    monkeypatch.setattr(progress, "PATIENCE_S", 0.0)
    monkeypatch.setattr(progress, "TICK_S", 0.0)


QUERY = "CREATE TABLE g (x BIGINT) WITH ('connector' = 'datagen', 'number-of-rows' = '3000', 'rows-per-second' = '10000'); SELECT x FROM g"


def test_a_line_on_a_terminal(at_once, capsys):
    assert pelton.Session(progress=True).sql(QUERY).stats.rows_in == 3000
    said = capsys.readouterr().err
    assert " rows in, " in said and said.endswith("\r"), "and the line goes away"


def test_nothing_elsewhere(at_once, capsys):
    for wanted in (None, False):
        pelton.Session(progress=wanted).sql(QUERY)
    assert capsys.readouterr().err == ""


def test_counts_in_a_notebook(at_once, monkeypatch):
    shown = []

    class Handle:
        def update(self, stats):
            shown.append(stats._repr_html_())

    def display(stats, display_id):
        shown.append(stats._repr_html_())
        return Handle()

    notebook = types.ModuleType("IPython")
    notebook.get_ipython = lambda: types.SimpleNamespace(kernel=object())
    notebook.display = types.ModuleType("IPython.display")
    notebook.display.display = display
    monkeypatch.setitem(sys.modules, "IPython", notebook)
    monkeypatch.setitem(sys.modules, "IPython.display", notebook.display)
    pelton.Session().sql(QUERY)
    assert "running" in shown[0] and "3,000 rows in" in shown[-1] and "done" in shown[-1]
