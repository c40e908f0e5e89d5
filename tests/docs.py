"""Runs every SQL block of README.md and docs/*.md, and holds the tables of docs/sql.md against the code.

    docs.py [--pelton PATH] [--update] [WORD]    PATH: $PELTON; scratch: $PELTON_TEST_DIR; WORD: only documents whose name has it

What the first line of a fenced block means:

    sql            runs by itself, in a fresh folder with the inputs of its document, and must succeed
    sql continue   runs after the tables, views and settings of the blocks before it
    sql error      must fail; the `text` block that follows it is part of what it says
    text output    what the `sql` block before it prints; --update writes down what it prints now
    text files     what files there are afterwards, by name
    text verify    what `pelton verify` then prints
    csv NAME, json NAME    an input of the document's blocks; a NAME that ends in .parquet is written as Parquet

The folder `examples` is there too. Other blocks are for readers only.
"""

import argparse
import io
import itertools
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

ROOT = pathlib.Path(__file__).resolve().parent.parent
FENCE = re.compile(r"^```(\S*)([^\n]*)\n(.*?)^```$", re.M | re.S)
# What a block that continues another one takes from it.
KEPT = re.compile(r"\s*(?:--[^\n]*\n\s*)*(?:CREATE|SET)\b", re.I)


class Block:
    """A fenced block: its language, the words after it, its text, where the text is in the document."""

    def __init__(self, match, text):
        self.language, self.words = match[1], match[2].split()
        self.text, self.span = match[3], match.span(3)
        self.line = text.count("\n", 0, match.start()) + 1


def write_input(folder, block):
    """Writes the file that a `csv NAME` or `json NAME` block shows."""
    path = folder / block.words[0]
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix != ".parquet":
        path.write_text(block.text)
        return
    table = pa.csv.read_csv(io.BytesIO(block.text.encode()), convert_options=pa.csv.ConvertOptions(strings_can_be_null=True))
    for i, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            table = table.set_column(i, field.name, table[i].cast(pa.timestamp("ms")))
    pq.write_table(table, path)


def kept(sql):
    """The statements of a block that go on to hold for those that continue it."""
    statements = re.split(r"(?<=;)[ \t]*(?:--[^\n]*)?\n", sql)
    return "".join(s + "\n" for s in statements if KEPT.match(s))


def plain(text):
    """Text without colours and trailing spaces."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines())


class Document:
    """One file and its blocks."""

    def __init__(self, path, pelton, scratch):
        self.path, self.pelton, self.scratch = path, pelton, scratch
        self.text = path.read_text()
        self.blocks = [Block(m, self.text) for m in FENCE.finditer(self.text)]
        self.inputs = [b for b in self.blocks if b.language in ("csv", "json") and b.words]
        self.passed, self.failed, self.changes = 0, 0, []

    def fail(self, block, what):
        self.failed += 1
        print(f"{self.path.relative_to(ROOT)}:{block.line}: {what}")

    def run(self, sql, verify):
        """Runs a text in a folder of its own; answers what it said, what files it left, what `verify` said."""
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.scratch))
        (folder / "examples").symlink_to(ROOT / "examples")
        for block in self.inputs:
            write_input(folder, block)
        before = {p for p in folder.rglob("*") if p.is_file()}
        (folder / "query.sql").write_text(sql)
        environment = {**os.environ, "NO_COLOR": "1"}
        pelton = lambda command: subprocess.run([self.pelton, command, "query.sql"], cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
        done = pelton("run")
        new = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and p not in before and p.name != "query.sql")
        verified = pelton("verify") if verify else None
        shutil.rmtree(folder)
        return done, "\n".join(new), verified

    def check(self, update):
        """Runs all SQL blocks."""
        before = ""
        for i, block in enumerate(self.blocks):
            if block.language != "sql":
                continue
            if "continue" not in block.words:
                before = ""
            sql = before + block.text
            followers = {}
            for after in itertools.takewhile(lambda b: b.language == "text", self.blocks[i + 1 :]):
                followers[" ".join(after.words)] = after
            done, files, verified = self.run(sql, "verify" in followers)
            if "error" in block.words:
                if done.returncode == 0:
                    self.fail(block, "succeeded, and should not have")
                elif "" not in followers:
                    self.fail(block, "has no `text` block that says how it fails")
                else:
                    # Lines count from the top of the block, not of what it continues.
                    self.compare(followers[""], self.own_lines(plain(done.stderr), before), update, whole=False)
                before += kept(block.text)
                continue
            before += kept(block.text)
            if done.returncode != 0:
                self.fail(block, f"exit code {done.returncode}\n{done.stderr.rstrip()}")
                continue
            self.passed += 1
            if "output" in followers:
                self.compare(followers["output"], plain(done.stdout), update)
            if "files" in followers:
                self.compare(followers["files"], files, update)
            if verified and verified.returncode != 0:
                self.fail(block, f"verify ended with exit code {verified.returncode}\n{verified.stderr.rstrip()}")
            elif verified:
                self.compare(followers["verify"], plain(verified.stdout), update)

    @staticmethod
    def own_lines(message, before):
        """The message with line numbers as if nothing stood before the block."""
        skip = before.count("\n")
        if not skip:
            return message
        message = re.sub(r"(query\.sql:)(\d+)", lambda m: f"{m[1]}{int(m[2]) - skip}", message)
        return re.sub(r"^( *)(\d+)( +\|)", lambda m: f"{m[1]}{int(m[2]) - skip}{m[3]}", message, flags=re.M)

    def compare(self, block, got, update, whole=True):
        want = plain(block.text)
        same = want == got if whole else bool(want) and want in got
        if not same and update:
            self.changes.append((block.span, got + "\n"))
            same = True
        if same:
            self.passed += 1
        else:
            self.fail(block, f"says\n{want}\nbut it is\n{got}")

    def save(self):
        """Writes the changes of --update."""
        for (start, end), text in reversed(self.changes):
            self.text = self.text[:start] + text + self.text[end:]
        if self.changes:
            self.path.write_text(self.text)
            print(f"{self.path.relative_to(ROOT)}: {len(self.changes)} blocks written")


def section(text, title):
    """The text below a heading, up to the next one of the same or a higher level."""
    level, rest = re.search(rf"^(#+) {re.escape(title)}\n(.*)", text, re.M | re.S).groups()
    return re.split(rf"^#{{1,{len(level)}}} ", rest, maxsplit=1, flags=re.M)[0]


def check_settings(text):
    """Every setting that the code knows is in the table with its default, and no other."""
    code = (ROOT / "engine/src/sql/settings.rs").read_text()
    known = dict(re.findall(r'Known \{\s*key: "([^"]+)".*?default: "([^"]*)"', code, re.DOTALL))
    table = dict(re.findall(r"^\| `([^`]+)` \| ([^|]+?) \|", section(text, "Settings"), re.M))
    table = {key: value.strip("`") for key, value in table.items()}
    wrong = [f"the setting {k} is `{known.get(k)}` in the code and `{table.get(k)}` in docs/sql.md" for k in sorted(known.keys() | table.keys()) if known.get(k) != table.get(k)]
    return len(known) - len(wrong), wrong


def check_functions(text, pelton, scratch):
    """Every function in the tables is one that the program knows."""
    names = sorted(set(re.findall(r"`([A-Z][A-Z0-9_]+)(?:\(|`)", section(text, "Functions"))))
    wrong = []
    path = pathlib.Path(scratch, "function.sql")
    for name in names:
        path.write_text(f"SELECT {name}() AS x;\n")
        said = subprocess.run([pelton, "check", path], capture_output=True, text=True).stderr
        if "unknown function" in said:
            wrong.append(f"docs/sql.md has the function {name}, which the program does not know")
    return len(names) - len(wrong), wrong


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--pelton", default=os.environ.get("PELTON", "pelton"))
    args.add_argument("--update", action="store_true", help="write down what the blocks print now")
    args.add_argument("word", nargs="?", default="")
    args = args.parse_args()
    pelton = str(pathlib.Path(args.pelton).resolve()) if "/" in args.pelton else args.pelton
    passed = failed = 0
    with tempfile.TemporaryDirectory(prefix="docs-", dir=os.environ.get("PELTON_TEST_DIR")) as scratch:
        for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
            if args.word not in path.name:
                continue
            document = Document(path, pelton, scratch)
            document.check(args.update)
            document.save()
            passed, failed = passed + document.passed, failed + document.failed
            if path.name == "sql.md":
                for right, wrong in (check_settings(document.text), check_functions(document.text, pelton, scratch)):
                    passed, failed = passed + right, failed + len(wrong)
                    print("\n".join(wrong), end="\n" if wrong else "")
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
