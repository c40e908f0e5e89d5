"""Flink's SQL client in one process, as a peer; `./x` has put its jars into `PELTON_FLINK`."""

import os
import resource
import subprocess
from pathlib import Path


class Failed(Exception):
    """A run that ended with an error, and what it said."""


def timed(command: list[str], folder: Path, env: dict[str, str] | None = None) -> tuple[float, str]:
    """Seconds of processor time of a process, and what it said."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env={**os.environ, **(env or {})})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise Failed(f"{command[0]} ended with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


class Flink:
    """Flink's SQL client, with everything in its one process."""

    def __init__(self, folder: Path, threads: int):
        self.home = Path(os.environ["PELTON_FLINK"])
        self.folder = folder
        (folder / "conf").mkdir()
        (folder / "conf" / "config.yaml").write_text(
            f"execution.target: local\nparallelism.default: {threads}\ntaskmanager.numberOfTaskSlots: {threads}\n"
            "table.dml-sync: true\nenv.java.opts.all: ''\npipeline.object-reuse: true\n"
        )

    def run(self, text: str) -> float:
        """Seconds of processor time of a script."""
        (self.folder / "flink.sql").write_text(text)
        jars = [*(self.home / "lib").glob("*.jar"), *(self.home / "opt").glob("*.jar"), *self.home.glob("*.jar")]
        path = ":".join(map(str, jars))
        opens = [f"--add-opens=java.base/{p}=ALL-UNNAMED" for p in ("java.util", "java.lang", "java.nio", "java.net", "java.util.concurrent")]
        command = ["java", "-Xmx4g", *opens, "-cp", path, "org.apache.flink.table.client.SqlClient", "embedded", "-f", "flink.sql"]
        cpu, said = timed(command, self.folder, {"FLINK_CONF_DIR": str(self.folder / "conf")})
        if "[ERROR]" in said:
            raise Failed(said[said.index("[ERROR]") :][:2000])
        return cpu
