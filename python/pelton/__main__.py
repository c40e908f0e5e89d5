"""The `pelton` command: `pelton …` and `python -m pelton …` are the same."""

import signal
import sys

from pelton._pelton import main as command


def main() -> int:
    """Runs the command with the arguments of this process."""
    # Ctrl-C is the command's to handle: Python would only take note of it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return command(["pelton", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
