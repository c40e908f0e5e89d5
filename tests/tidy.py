#!/usr/bin/env python3
"""What a reader would trip over and no compiler sees: `tidy.py [FILE…]` (all files that git would commit, without arguments).

Each rule is a function `rule(path, text)` that yields (line, what is wrong, what to do instead).
"""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
SIZE_MAX = 5 * 2**20
GENERATED = {"Cargo.lock", "LICENSE"}
CODE = {".rs", ".py", ".sh", ".cu", ".hpp", ".wgsl", ".sql"}
# Written in two halves, so that this file passes its own rules.
MARKERS = {
    "TO" + "DO": "do it, or open an issue",
    "FIX" + "ME": "fix it, or open an issue",
    "XX" + "X": "say in words what is odd",
    "db" + "g!(": "remove it",
    "to" + "do!(": "write it, or return an error that says what is not supported",
    "unimple" + "mented!(": "write it, or return an error that says what is not supported",
}
MACHINE = re.compile(r"(?:^|[^\w.$}/~-])(/(?:wo" + r"rk|far" + r"m|ho" + r"me|ro" + r"ot|Us" + r"ers)/\S*)")
HOSTS = [
    "crates" + ".io",
    "pypi" + ".org",
    "python" + "hosted.org",
    "npm" + "js.org",
    "maven" + ".org",
    "golang" + ".org",
    "deb." + "debian.org",
]
# What a room must not know (ARCHITECTURE.md): room -> (word, who may).
ABSENT = {
    "kernels": {
        "std::fs": "io reads files",
        "std::net": "io owns sockets",
        "SystemTime": "the engine is told the time",
        "Instant::now": "the engine is told the time",
        "datafusion": "the engine knows SQL",
    },
    "engine": {"std::fs": "io reads files", "std::net": "io owns sockets", "pelton_io": "io implements the engine's traits"},
}
for room in ("kernels", "engine", "io", "cli", "python", "tests"):
    ABSENT.setdefault(room, {}).update({"wgpu::": "devices owns GPUs", "cudarc": "devices owns GPUs"})
# Which module puts the texts of a folder together, and how their names end.
SHADERS = {"cuda": ("devices/src/cuda/source.rs", ".cu"), "wgsl": ("devices/src/shader.rs", ".wgsl")}


def lines(text):
    return enumerate(text.splitlines(), 1)


def module_docs(path, text):
    """Every Rust module says what it is for."""
    if path.suffix == ".rs" and not text.lstrip().startswith("//!"):
        yield 1, "the module does not begin with //!", "say what it is for and what stays outside"


def script_docs(path, text):
    """Every Python file begins with a docstring."""
    body = re.sub(r"\A(#.*\n)+", "", text)
    inherited = path.parts[:2] == ("benches", "workers")  # taken over as they were measured
    if path.suffix == ".py" and not inherited and not body.lstrip().startswith('"""'):
        yield 1, "no docstring at the top", "say what the script does and how it is called"


def markers(path, text):
    """No leftover markers."""
    if path.suffix not in CODE:
        return
    for number, line in lines(text):
        for marker, instead in MARKERS.items():
            if re.search(r"(?<![A-Za-z])" + re.escape(marker), line):
                yield number, f"leftover {marker}", instead
        if re.search(r"#\[ign" + r"ore\s*\]", line):
            yield number, "a test is switched off without a reason", '#[ignore = "why"]'


def machine_paths(path, text):
    """No path of somebody's machine."""
    for number, line in lines(text):
        found = MACHINE.search(line)
        if found:
            yield number, f"path of a machine: {found[1]}", "take it from the environment or relative to the repository"


def hosts(path, text):
    """No registry is named: users have mirrors."""
    for number, line in lines(text):
        for host in HOSTS:
            if host in line:
                yield number, f"names the host {host}", "name the package, not where it lies"


def only_in_tests(path):
    """True for a module that its parent declares under `#[cfg(test)]`."""
    parents = [path.parent / "mod.rs", path.parent / "lib.rs", path.parent.with_suffix(".rs")]
    declared = r"#\[cfg\(test\)\]\s*(?:pub(?:\([^)]*\))?\s+)?mod " + path.stem + ";"
    return any((ROOT / p).is_file() and re.search(declared, (ROOT / p).read_text()) for p in parents)


def absent(path, text):
    """Rooms do not know what they must not know."""
    if path.suffix != ".rs" or only_in_tests(path):
        return
    forbidden = ABSENT.get(path.parts[0], {})
    for number, line in lines(text):
        if re.match(r"\s*#\[cfg\(test\)\]", line):
            return  # the tests of a module are at its end, and may
        if line.lstrip().startswith("//"):
            continue
        for word, who in forbidden.items():
            if word in line:
                yield number, f"{word} in {path.parts[0]}", who


def owners(path, text):
    """Only the crate that owns GPUs depends on what drives them."""
    if path.name != "Cargo.toml" or path.parts[0] in ("Cargo.toml", "devices"):
        return
    for number, line in lines(text):
        found = re.match(r"(wgpu|cudarc)\b", line)
        if found:
            yield number, f"depends on {found[1]}", "devices owns GPUs"


def shaders(path, text):
    """Every text for a device is part of some kernel, and lies where tests look for it."""
    if path.parts[0] != "shaders":
        return
    module, end = SHADERS.get(path.parts[1], (None, ""))
    if module is None or path.suffix != end or len(path.parts) != 3:
        yield 1, "no module puts it together", "shaders/cuda/*.cu and shaders/wgsl/*.wgsl are what there is"
    elif not re.search(rf'include_str!\("[./]*{re.escape(str(path))}"\)', (ROOT / module).read_text()):
        yield 1, f"{module} does not include it", "include it there, or remove it"


def spaces(path, text):
    """No trailing spaces, no tabs in code, one newline at the end."""
    if path.suffix not in CODE | {".md", ".toml"}:
        return
    for number, line in lines(text):
        if line != line.rstrip():
            yield number, "trailing space", "remove it"
        if line.startswith("\t"):
            yield number, "a tab", "four spaces"
    if text and not text.endswith("\n"):
        yield len(text.splitlines()), "no newline at the end", "add it"


RULES = [module_docs, script_docs, markers, machine_paths, hosts, absent, owners, shaders, spaces]


def files():
    """Everything that is, or would be, committed."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [pathlib.Path(name) for name in listed.split("\0") if name]


def main(arguments):
    paths = [pathlib.Path(a).resolve().relative_to(ROOT) for a in arguments] or files()
    clean = wrong = 0
    for path in sorted(set(paths)):
        whole = ROOT / path
        if not whole.is_file():
            continue
        found = []
        if whole.stat().st_size > SIZE_MAX:
            found.append((0, f"{whole.stat().st_size:,} bytes", "nothing above 5 MiB belongs here"))
        data = whole.read_bytes()
        if path.name not in GENERATED and b"\0" not in data[:8192]:
            try:
                text = data.decode()
                found += [f for rule in RULES for f in rule(path, text)]
            except UnicodeDecodeError:
                pass  # data that is meant to be broken
        for number, what, instead in found:
            print(f"{path}:{number}: {what} ({instead})")
        clean, wrong = (clean, wrong + 1) if found else (clean + 1, wrong)
    print(f"{clean + wrong} files read, {wrong} of them to mend")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
