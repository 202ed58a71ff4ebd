"""Show how far an ingest has come: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

LINE_EVERY_SECONDS = 15.0


class Progress:
    """Report documents done of `total`; `clock` in seconds."""

    def __init__(self, out: TextIO, total: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._out = out
        self._total = total
        self._clock = clock
        self._began = self._last = clock()
        self._bar = out.isatty()

    def update(self, done: int, passages: int) -> None:
        """Show the state if there is anything new to see."""
        now = self._clock()
        if self._bar:
            filled = round(30 * done / max(1, self._total))
            bar = "█" * filled + "·" * (30 - filled)
            self._out.write(f"\r{bar} {done}/{self._total} documents, {passages} passages\x1b[K")
            self._out.flush()
        elif now - self._last >= LINE_EVERY_SECONDS:
            self._last = now
            self._line(done, passages, now)

    def finish(self, done: int, passages: int) -> None:
        """Show the end, on a line of its own; `done` is all, also where documents came meanwhile."""
        self._total = done
        if self._bar:
            self.update(done, passages)
            self._out.write("\n")
        else:
            self._line(done, passages, self._clock())

    def _line(self, done: int, passages: int, now: float) -> None:
        seconds = now - self._began
        self._out.write(f"INFO: {done}/{self._total} documents, {passages} passages, {seconds:.0f} s\n")
        self._out.flush()
