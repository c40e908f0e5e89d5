"""Puts the library that cargo has built into the wheel, without debug information: `CARGO_TARGET_DIR` says where it is."""

import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig
import tempfile

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

#: What cargo calls it, and what Python looks for.
NAMES = {
    "linux": ("libpelton_python.so", "_pelton.abi3.so"),
    "darwin": ("libpelton_python.dylib", "_pelton.abi3.so"),
    "win32": ("pelton_python.dll", "_pelton.pyd"),
}


class LibraryHook(BuildHookInterface):
    """Adds the library, and names the wheel after the stable ABI of Python 3.10 and this platform."""

    def initialize(self, version, build_data):
        """Called before the wheel is put together."""
        built, wanted = NAMES[sys.platform]
        target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", pathlib.Path(self.root).parent / "target"))
        library = target / "debug" / built
        if not library.is_file():
            raise FileNotFoundError(f"there is no {library}: run cargo build --workspace first, and set CARGO_TARGET_DIR")
        self.scratch = tempfile.TemporaryDirectory()
        stripped = pathlib.Path(self.scratch.name) / wanted
        if sys.platform == "linux" and shutil.which("strip"):
            subprocess.run(["strip", "--strip-debug", "-o", stripped, library], check=True)
        else:
            shutil.copyfile(library, stripped)
        build_data["force_include"][str(stripped)] = f"pelton/{wanted}"
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["pure_python"] = False
        build_data["tag"] = f"cp310-abi3-{platform}"

    def finalize(self, version, build_data, artifact_path):
        """Called when the wheel is there."""
        self.scratch.cleanup()
