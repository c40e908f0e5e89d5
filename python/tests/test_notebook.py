"""The notebook of the examples, cell by cell, plots included."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

NOTEBOOK = Path(__file__).parent.parent.parent / "examples/fraud/fraud.ipynb"

# In a process of its own: what a kernel warns of is not ours.
RUN = """
import sys, nbclient, nbformat
book = nbformat.read(sys.argv[1], 4)
nbclient.NotebookClient(book, timeout=300, kernel_name="python3").execute()
outputs = [output for cell in book.cells if cell.cell_type == "code" for output in cell.outputs]
print("plots:", sum("image/png" in output.get("data", {}) for output in outputs))
print("tables:", sum("text/html" in output.get("data", {}) for output in outputs))
"""


def test_every_cell_runs() -> None:
    done = subprocess.run([sys.executable, "-c", RUN, NOTEBOOK], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    shown = dict(line.split(": ") for line in done.stdout.splitlines())
    # Tables: what pelton shows of a result, and pandas of a frame.
    assert int(shown["plots"]) == 3 and int(shown["tables"]) >= 2, done.stdout


def test_it_is_kept_without_outputs() -> None:
    text = NOTEBOOK.read_text()
    assert '"outputs": []' in text and "image/png" not in text
