"""What a person sees while the program runs: a live frame on a terminal, lines in a log.

A log can only grow: it gets a line when something changed, and a heartbeat every 60 s. A terminal gets the
same as a frame that is drawn anew, with the lines above it.
"""

from __future__ import annotations

import contextlib
import copy
import os
import sys
from collections.abc import Iterator
from typing import Protocol, Self, TextIO

from ecs_gpu_deploy.core.judge.pace import HEARTBEAT_SECONDS
from ecs_gpu_deploy.core.show.progress import Progress
from ecs_gpu_deploy.core.show.progress_view import event_line, hook_lines, progress_line
from ecs_gpu_deploy.core.text import harmless, indented, span
from ecs_gpu_deploy.edges.machine.clock import Clock

_INDENT = " " * 9


def emit(text: str, stream: TextIO | None) -> None:
    """Write *text* and a line end; where that cannot be written, go on without the stream.

    Neither a closed pipe nor a full disk may end the wait or the result: the deployment goes on in AWS. What
    the stream's encoding lacks (a log in ASCII, half a surrogate pair) is replaced.
    """
    if stream is None:
        return
    encoding = stream.encoding or "utf-8"
    try:
        print(text.encode(encoding, "replace").decode(encoding), file=stream, flush=True)
    except BrokenPipeError:
        _silence(stream)
    except OSError as error:
        _silence(stream)
        if stream is not sys.stderr:
            emit(f"warning: the log cannot be written ({error.strerror}); the run goes on", sys.stderr)


def _silence(stream: TextIO) -> None:
    """Let all that is still written to *stream* vanish, at the end of the process too."""
    with contextlib.suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def open_standard_streams() -> None:
    """Open what of standard input, output and error is closed, on nothing; say so of the output.

    Otherwise the next file or connection that is opened would get its number, and our lines.
    """
    closed = [number for number in (0, 1, 2) if not _is_open(number)]
    for _ in closed:
        os.open(os.devnull, os.O_RDWR)
    if 2 in closed:
        sys.stderr = os.fdopen(2, "w", closefd=False)
    if 1 in closed:
        sys.stdout = os.fdopen(1, "w", closefd=False)
        emit("warning: standard output is closed, so there is no log; the run goes on", sys.stderr)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


class Groups(Protocol):
    """Whoever can fold lines: GitHub Actions, or nobody."""

    is_here: bool

    def group(self, title: str) -> None:
        """Begin a folded group of lines."""

    def end_group(self) -> None:
        """End the group."""


class Frame(Protocol):
    """A live view on a terminal."""

    def show(self, progress: Progress) -> None:
        """Draw the frame anew."""

    def print(self, line: str) -> None:
        """Write a line above the frame."""

    def close(self) -> None:
        """Take the frame away."""


class Reporter:
    """Write lines with the time elapsed, on standard error or wherever it is told to."""

    def __init__(
        self,
        clock: Clock,
        stream: TextIO = sys.stderr,
        *,
        groups: Groups | None = None,
        frame: Frame | None = None,
        began: float | None = None,
    ) -> None:
        """Count the time elapsed from *began* (epoch seconds), by default from now."""
        self._stream = stream
        self._clock = clock
        self._groups = groups if groups is not None and groups.is_here else None
        self._frame = frame
        self._began = clock.now() if began is None else began
        self._last: tuple[object, ...] | None = None
        self._last_hook = ""
        self._told = ""
        self._spoke_at = self._began
        self._about = ""

    def of(self, name: str) -> Self:
        """Return a reporter whose lines begin with *name*: of several rollouts none has the frame."""
        other = copy.copy(self)
        other._about = f"{name}: "
        return other

    def say(self, text: str, *, now: float | None = None) -> None:
        """Write one line, with the time *now* where several lines tell of one look."""
        self._write(text, self._clock.now() if now is None else now)

    def event(self, message: str, *, service: str, now: float) -> None:
        """Write a service event, its ARNs cut to what a person recognises."""
        self._write(event_line(message, service=service), now)

    def block(self, text: str, *, title: str = "") -> None:
        """Write several lines without the time, each made safe; with a *title* folded where that works."""
        with self.folded(title) if title else contextlib.nullcontext():
            for line in text.splitlines():
                self._print(_INDENT + harmless(indented(line)))

    def show(self, text: str) -> None:
        """Write the lines of a table that is safe already as they are."""
        for line in text.splitlines():
            self._print(line)

    @contextlib.contextmanager
    def folded(self, title: str) -> Iterator[None]:
        """Fold the lines that are written meanwhile, where that works; else they stand below the title."""
        if self._groups is None:
            self._print(_INDENT + harmless(indented(f"{title}:")))
            yield
            return
        self._groups.group(title)
        try:
            yield
        finally:
            self._groups.end_group()

    def progress(self, progress: Progress) -> None:
        """Show how far the rollout is: a line when something changed or a minute has passed, or a frame."""
        now = progress.at
        if progress.hook is not None and progress.hook.id != self._last_hook:
            self._last_hook = progress.hook.id
            for line in hook_lines(progress.hook, at=now):
                self._write(line, now)
        if self._frame is not None and not self._about:
            with self._losing_frame():
                self._frame.show(progress)
        elif progress.key != self._last or now - self._spoke_at >= HEARTBEAT_SECONDS:
            self._last = progress.key
            self._write(progress_line(progress, told=self._told), now)
            self._told = progress.note

    def close(self) -> None:
        """Take the live frame away; lines can still be written."""
        if self._frame is not None:
            with self._losing_frame():
                self._frame.close()
            self._frame = None

    def _write(self, text: str, now: float) -> None:
        self._spoke_at = now
        self._print(f"{span(now - self._began):>7}  {harmless(indented(self._about + text))}")

    def _print(self, line: str) -> None:
        if self._frame is not None:
            with self._losing_frame():
                self._frame.print(line)
                return
        emit(line, self._stream)

    @contextlib.contextmanager
    def _losing_frame(self) -> Iterator[None]:
        """Go on without the frame where the terminal has gone."""
        try:
            yield
        except OSError:
            self._frame = None
            _silence(self._stream)
