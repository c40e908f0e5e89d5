"""The line that says how a run goes: on a terminal, or in a notebook. Elsewhere there is none."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pelton.result import Stats

#: Runs that end sooner say nothing.
PATIENCE_S = 0.5
#: Time between two looks.
TICK_S = 0.2


def in_notebook() -> bool:
    """True where IPython shows HTML."""
    ipython = sys.modules.get("IPython")
    shell: Any = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")


class Progress:
    """Shows counts while a run goes on. `wanted`: `None` where somebody may be looking, `True` on any stderr, `False` never."""

    def __init__(self, wanted: bool | None) -> None:
        self._notebook = wanted is not False and in_notebook()
        terminal = sys.stderr is not None and sys.stderr.isatty()
        self._line = not self._notebook and (terminal if wanted is None else wanted)
        self._next = time.monotonic() + PATIENCE_S
        self._handle: Any = None
        self._shown = 0

    def show(self, stats: Stats) -> None:
        """Shows the counts, if it is time."""
        if not (self._line or self._notebook) or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + TICK_S
        if self._notebook:
            from IPython.display import display

            if self._handle is None:
                self._handle = display(stats, display_id=True)
            else:
                self._handle.update(stats)
            return
        text = str(stats)
        sys.stderr.write("\r" + text.ljust(self._shown))
        sys.stderr.flush()
        self._shown = len(text)

    def end(self, stats: Stats) -> None:
        """Takes the line away; in a notebook the last counts stay."""
        if self._shown:
            sys.stderr.write("\r" + " " * self._shown + "\r")
            sys.stderr.flush()
            self._shown = 0
        if self._handle is not None:
            self._handle.update(stats)
