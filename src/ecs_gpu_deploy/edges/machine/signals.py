"""The signals with which a job is cancelled, and a limit on what may still be done then.

GitHub sends SIGINT, SIGTERM after 7.5 s and SIGKILL after another 2.5 s; `docker stop` and most others send
SIGTERM and, ten seconds later, SIGKILL. The first one cancels; the others must not cut off what that starts.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from types import FrameType


class Cancelled(BaseException):
    """The runner cancels the job (SIGINT, SIGTERM)."""


class CutShort(BaseException):
    """What a limit allowed is over; `limit` is what the block was given that set it."""

    def __init__(self, limit: object) -> None:
        super().__init__()
        self.limit = limit


class _Mode(Enum):
    RAISE = 1
    HOLD = 2
    IGNORE = 3


class _Signals:
    """What a signal does now. One for the process, as its signal handlers are."""

    mode = _Mode.RAISE
    pending = False
    grace: float | None = None
    """How many seconds a request that is under way may still take once a signal is held."""

    def on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self.mode is _Mode.RAISE:
            self.raise_once()
        elif self.mode is _Mode.HOLD:
            self.pending = True
            self.arm()

    def raise_once(self) -> None:
        self.mode = _Mode.IGNORE
        raise Cancelled

    def arm(self) -> None:
        """Cut the request under way short after its grace, unless another limit comes before."""
        if self.grace is None or not _has_timer():
            return
        left = signal.getitimer(signal.ITIMER_REAL)[0]
        if not left or left > self.grace:
            signal.setitimer(signal.ITIMER_REAL, self.grace)


_SIGNALS = _Signals()


def heed_signals() -> None:
    """Turn the first SIGINT or SIGTERM into Cancelled, wherever the program then is.

    As the action, also one that came since bootstrap.py: it lets them wait while Python and boto3 start.
    """
    _SIGNALS.mode, _SIGNALS.pending = _Mode.RAISE, False
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _SIGNALS.on_signal)
    if hasattr(signal, "pthread_sigmask"):  # not on Windows
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM))


def ignore_signals() -> None:
    """Let no further SIGINT or SIGTERM interrupt: the result is being written."""
    _SIGNALS.mode = _Mode.IGNORE


@contextmanager
def held_signals() -> Iterator[None]:
    """Let a signal wait in the block for the next `heeded_signals` in it.

    Between the moment a deployment is known and the one at which somebody can act on Cancelled, none may
    get lost: the deployment would be neither left nor rolled back as told.
    """
    heeds = _SIGNALS.mode is _Mode.RAISE
    if heeds:
        _SIGNALS.mode = _Mode.HOLD
    try:
        yield
    finally:
        if heeds and _SIGNALS.mode is _Mode.HOLD:
            _SIGNALS.mode = _Mode.RAISE


def is_cancelled() -> bool:
    """Say whether the job was cancelled: a signal is held, or was heeded."""
    return _SIGNALS.pending or _SIGNALS.mode is _Mode.IGNORE


def heed_held() -> None:
    """Raise Cancelled for a signal that has been held."""
    if _SIGNALS.pending and _SIGNALS.mode is not _Mode.IGNORE:
        _SIGNALS.raise_once()


@contextmanager
def seen_through(grace: float) -> Iterator[object]:
    """Let a signal in the block wait for its end; *grace* wall seconds later CutShort comes out of it.

    For a request that changes AWS: cut off at once, nobody would know whether it was carried out. Whoever
    needs what the block finds holds signals himself; for others a held one is raised at its end.
    """
    limit = object()
    if not _is_main_thread() or _SIGNALS.mode is _Mode.IGNORE:
        yield limit
        return
    heed_now = _SIGNALS.mode is _Mode.RAISE
    if heed_now:
        heed_held()
    _SIGNALS.mode, _SIGNALS.grace = _Mode.HOLD, grace
    try:
        with _cut_by_alarm(limit):
            if _SIGNALS.pending:
                _SIGNALS.arm()
            yield limit
    finally:
        _SIGNALS.grace = None
        if heed_now:
            _SIGNALS.mode = _Mode.RAISE
            heed_held()


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
def at_most(seconds: float) -> Iterator[object]:
    """Raise CutShort in the block after *seconds* of wall time, also out of a call that hangs.

    Gives what that CutShort carries as its `limit`. In a block that has less time left, that limit holds.
    Where the platform has no interval timer (Windows), and outside the main thread, there is none.
    """
    limit = object()
    left = signal.getitimer(signal.ITIMER_REAL)[0] if _has_timer() and _is_main_thread() else 0.0
    if not _has_timer() or not _is_main_thread() or 0.0 < left <= seconds:
        yield limit
        return
    began = time.monotonic()
    try:
        with _cut_by_alarm(limit):
            signal.setitimer(signal.ITIMER_REAL, max(seconds, _SHORTEST))
            yield limit
    finally:
        if left:
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - began), _SHORTEST))


_SHORTEST = 0.001


@contextmanager
def _cut_by_alarm(limit: object) -> Iterator[None]:
    """Raise CutShort in the block when the timer rings; at its end none runs."""
    if not _has_timer():
        yield
        return

    def cut(_number: int, _frame: FrameType | None) -> None:
        raise CutShort(limit)

    before = signal.signal(signal.SIGALRM, cut)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


def _has_timer() -> bool:
    return hasattr(signal, "setitimer")


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
