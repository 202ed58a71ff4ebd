"""The signals with which a job is cancelled, and a limit on what may still be done then.

GitHub sends SIGINT, SIGTERM after 7.5 s and SIGKILL after another 2.5 s; `docker stop` and most others send
SIGTERM and, ten seconds later, SIGKILL. The first one cancels; the others must not cut off what that starts.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from types import FrameType


class Cancelled(BaseException):
    """The runner cancels the job (SIGINT, SIGTERM)."""


class CutShort(BaseException):
    """What `at_most` allowed is over."""


class _Mode(Enum):
    RAISE = 1
    HOLD = 2
    IGNORE = 3


class _Signals:
    """What a signal does now. One for the process, as its signal handlers are."""

    mode = _Mode.RAISE
    pending = False

    def on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self.mode is _Mode.RAISE:
            self.raise_once()
        elif self.mode is _Mode.HOLD:
            self.pending = True

    def raise_once(self) -> None:
        self.mode = _Mode.IGNORE
        raise Cancelled


_SIGNALS = _Signals()


def heed_signals() -> None:
    """Turn the first SIGINT or SIGTERM into Cancelled, wherever the program then is."""
    _SIGNALS.mode, _SIGNALS.pending = _Mode.RAISE, False
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _SIGNALS.on_signal)


def ignore_signals() -> None:
    """Let no further SIGINT or SIGTERM interrupt: the result is being written."""
    _SIGNALS.mode = _Mode.IGNORE


@contextmanager
def held_signals() -> Iterator[None]:
    """Let a signal wait in the block for the next `heeded_signals` in it.

    Between the moment a deployment is known and the one at which somebody can act on Cancelled, none may
    get lost: the deployment would be neither left nor rolled back as told.
    """
    if _SIGNALS.mode is _Mode.RAISE:
        _SIGNALS.mode = _Mode.HOLD
    yield
    if _SIGNALS.mode is _Mode.HOLD:
        _SIGNALS.mode = _Mode.RAISE


@contextmanager
def heeded_signals() -> Iterator[None]:
    """Raise Cancelled in the block for a signal that comes, or that has been held."""
    held = _SIGNALS.mode is _Mode.HOLD
    if held:
        _SIGNALS.mode = _Mode.RAISE
        if _SIGNALS.pending:
            _SIGNALS.raise_once()
    try:
        yield
    finally:
        if held and _SIGNALS.mode is _Mode.RAISE:
            _SIGNALS.mode = _Mode.HOLD


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raise CutShort in the block after *seconds* of wall time, also out of a call that hangs.

    Where the platform has no interval timer (Windows) there is no limit.
    """
    if not hasattr(signal, "setitimer"):
        yield
        return

    def cut(_number: int, _frame: FrameType | None) -> None:
        raise CutShort

    before = signal.signal(signal.SIGALRM, cut)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
