"""Let waits take turns on one clock: each says how long it sleeps, and is woken when that is over.

A wait is a generator. It yields the seconds until it wants to go on, so that somebody else is looked at
meanwhile; Cancelled comes out of that `yield` when the job is cancelled, an error of the clock too.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TypeVar

from ecs_gpu_deploy.edges.machine.clock import Clock
from ecs_gpu_deploy.edges.machine.signals import (
    Cancelled,
    heed_held,
    heeded_signals,
    held_signals,
    is_cancelled,
)
from ecs_gpu_deploy.errors import DeployError

T = TypeVar("T")
Wait = Generator[float, None, T]


def waited(clock: Clock, wait: Wait[T]) -> T:
    """Return what *wait* ends with."""
    [end] = take_turns(clock, [wait])
    return end


def take_turns(clock: Clock, waits: Sequence[Wait[T]]) -> list[T]:
    """Return what each of the *waits* ends with; a cancelled job is cancelled for all of them, once.

    Each must yield before it does anything that Cancelled could interrupt: it hears of it only there.
    """
    ends: dict[int, T] = {}
    wakes: dict[int, float] = {}

    def go_on(number: int, trouble: BaseException | None = None) -> None:
        wait = waits[number]
        try:
            seconds = wait.throw(trouble) if trouble is not None else next(wait)
        except StopIteration as end:
            ends[number] = end.value
            wakes.pop(number, None)
        else:
            wakes[number] = clock.now() + seconds

    with held_signals():
        for number in range(len(waits)):
            go_on(number)
        is_told = False
        while wakes:
            first = min(wakes, key=wakes.__getitem__)
            cancel = None if is_told else _cancel()
            trouble = cancel or _slept(clock, wakes[first] - clock.now())
            is_told = is_told or isinstance(trouble, Cancelled)
            for number in sorted(wakes) if trouble is not None else [first]:
                go_on(number, trouble)
    return [ends[number] for number in range(len(waits))]


def _cancel() -> Cancelled | None:
    """Return what tells the waits that the job is cancelled: a signal is held, or one of them heeded it."""
    try:
        heed_held()
    except Cancelled as cancelled:
        return cancelled
    return Cancelled() if is_cancelled() else None


def _slept(clock: Clock, seconds: float) -> Cancelled | DeployError | None:
    """Let *seconds* pass; return what came between."""
    if seconds <= 0:
        return None
    try:
        with heeded_signals():
            clock.sleep(seconds)
    except (Cancelled, DeployError) as trouble:
        return trouble
    return None
