"""The signals with which a job is cancelled, and a limit on what may still be done then.

GitHub sends SIGINT, SIGTERM after 7.5 s and SIGKILL after another 2.5 s; `docker stop` and most others send
SIGTERM and, ten seconds later, SIGKILL.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_CANCELLING = (signal.SIGINT, signal.SIGTERM)


class Cancelled(BaseException):
    """The runner cancels the job (SIGINT, SIGTERM)."""


class CutShort(BaseException):
    """What `at_most` allowed is over."""


def heed_signals() -> None:
    """Turn the first SIGINT or SIGTERM into Cancelled; later ones would cut off what it starts."""

    def cancel(_number: int, _frame: FrameType | None) -> None:
        ignore_signals()
        raise Cancelled

    for number in _CANCELLING:
        signal.signal(number, cancel)


def ignore_signals() -> None:
    """Let no further SIGINT or SIGTERM interrupt: the result is being written."""
    for number in _CANCELLING:
        signal.signal(number, signal.SIG_IGN)


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
