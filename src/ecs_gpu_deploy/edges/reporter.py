"""What a person sees while the program runs: a line when something changed, a heartbeat every 60 s."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TextIO

from ecs_gpu_deploy.core.text import log_line, span
from ecs_gpu_deploy.edges.clock import Clock

HEARTBEAT_SECONDS = 60.0


def emit(text: str, stream: TextIO) -> None:
    """Write *text* and a line end; where the reader has gone, go on in silence.

    A closed pipe must end neither the wait nor the result: the deployment goes on in AWS.
    """
    try:
        print(text, file=stream, flush=True)
    except BrokenPipeError:
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class Reporter:
    """Write lines with the time elapsed, on standard error or wherever it is told to."""

    def __init__(self, clock: Clock, stream: TextIO = sys.stderr) -> None:
        self._stream = stream
        self._clock = clock
        self._began = clock.now()
        self._last = ""
        self._spoke_at = self._began

    def say(self, text: str, *, now: float | None = None) -> None:
        """Write one line, with the time *now* where several lines tell of one look."""
        self._write(text, self._clock.now() if now is None else now)

    def block(self, text: str) -> None:
        """Write several lines without the time, each made safe."""
        for line in text.splitlines():
            emit(f"         {log_line(line)}", self._stream)

    def progress(self, text: str, *, key: str, now: float) -> None:
        """Write *text* when *key* is new, or when nothing was written for a minute."""
        if key != self._last or now - self._spoke_at >= HEARTBEAT_SECONDS:
            self._last = key
            self._write(text, now)

    def _write(self, text: str, now: float) -> None:
        self._spoke_at = now
        emit(f"{span(now - self._began):>7}  {log_line(text)}", self._stream)
