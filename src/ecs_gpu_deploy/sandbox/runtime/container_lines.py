"""What a container prints, line by line, while it runs and to the last byte."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

LAST_LINES_SECONDS = 5.0
LONGEST_EVENT = 262_118
"""Bytes: the driver awslogs cuts what is longer (256 KiB, less 26 of overhead; moby,
daemon/logger/awslogs/cloudwatchlogs.go)."""


class ContainerLines:
    """Follow one container's stdout and stderr; `write` gets each line, from a thread of its own."""

    def __init__(self, container: Any, write: Callable[[str], None], complain: Callable[[Exception], None]):
        self._container = container
        self._write = write
        self._complain = complain
        self._bytes = 0
        self._rest = bytearray()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Write what is still missing of a container that has ended.

        Docker now and then ends a stream before its last bytes, so the log is read once more from where the
        stream ended; a log that was rotated meanwhile is shorter than that, and says nothing more.
        """
        self._thread.join(LAST_LINES_SECONDS)
        skipped, seen = 0, self._bytes
        try:
            for piece in self._container.logs(stream=True, follow=False):
                self._take(piece[max(0, seen - skipped) :])
                skipped += len(piece)
        except Exception as trouble:  # noqa: BLE001 - what was read is all there will be
            self._complain(trouble)
        if self._rest:
            self._end_line()

    def _follow(self) -> None:
        try:
            for piece in self._container.logs(stream=True, follow=True):
                self._take(piece)
        except Exception as trouble:  # noqa: BLE001 - whatever ends the stream, `finish` reads the rest
            self._complain(trouble)

    def _take(self, piece: bytes) -> None:
        self._bytes += len(piece)
        *ended, rest = piece.split(b"\n")
        for end in ended:
            self._rest += end
            self._end_line()
        self._rest += rest
        while len(self._rest) > LONGEST_EVENT:
            self._write(self._rest[:LONGEST_EVENT].decode(errors="replace"))
            del self._rest[:LONGEST_EVENT]

    def _end_line(self) -> None:
        self._write(self._rest.decode(errors="replace").rstrip("\r"))
        self._rest.clear()
