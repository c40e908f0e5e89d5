"""Runs the Python of README.md, python/README.md and docs/python.md, in the order of each text, and compares what it prints.

A block of `python` runs after those before it, in a folder of its document; `python error` must raise, and prints what it raised.
A `text output` block is what the block before it prints.
"""

import contextlib
import io
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^```(\S*)([^\n]*)\n(.*?)^```$", re.M | re.S)


def plain(text):
    """Text without trailing spaces."""
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


@pytest.mark.parametrize("name", ["README.md", "python/README.md", "docs/python.md"])
def test_the_code_of_the_documents_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / name).read_text()
    blocks = [(m[1], m[2].split(), m[3], text.count("\n", 0, m.start()) + 1) for m in FENCE.finditer(text)]
    space, printed, ran = {"__name__": name}, "", 0
    for language, words, code, line in blocks:
        if language == "python":
            out = io.StringIO()
            compiled = compile("\n" * line + code, name, "exec")
            with contextlib.redirect_stdout(out):
                if "error" in words:
                    with pytest.raises(Exception) as caught:
                        exec(compiled, space)
                    print(caught.value)
                else:
                    exec(compiled, space)
            printed, ran = out.getvalue(), ran + 1
        elif language == "text" and "output" in words and printed:
            assert plain(printed) == plain(code), f"{name}:{line}"
        elif language not in ("python", "text"):
            printed = ""
    assert ran > 0
