"""When our own wait would end, of a rollout that is foreseen: before AWS's own end of it, and why.

It asks the same rules as the judge (`early_verdicts`), of times that were foreseen in place of those seen.
Sources: docs/aws-facts.md#circuit-breaker, #provisioning and #rounding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ecs_gpu_deploy.core.capacity.percents import Limits
from ecs_gpu_deploy.core.judge.early_verdicts import crash_loop_after, placement_seconds
from ecs_gpu_deploy.core.judge.options import WaitOptions
from ecs_gpu_deploy.core.text import span
from ecs_gpu_deploy.model import CircuitBreaker
from ecs_gpu_deploy.result import Outcome, PlannedEnd


@dataclass(frozen=True, slots=True, kw_only=True)
class Foretold:
    """What is foreseen, in seconds from the update. `seconds` is AWS's own end, None where it has none.

    `placed` and `healthy` are of the new tasks, `failed` of those that ended before they were healthy,
    `freed` when old tasks were told to stop and had gone. `lacks_room`: a task once finds no place;
    `is_certain`, that no instance here could ever take it.
    """

    seconds: float | None
    placed: Sequence[float] = ()
    healthy: Sequence[float] = ()
    failed: Sequence[float] = ()
    freed: Sequence[float] = ()
    lacks_room: bool = False
    is_certain: bool = False


def expected_end(
    foretold: Foretold,
    breaker: CircuitBreaker,
    limits: Limits | None,
    wait: WaitOptions,
    *,
    desired: int,
    timeout: float,
    crash_loop_threshold: int | None = None,
) -> PlannedEnd | None:
    """Return how our wait ends where it does so before AWS; None where AWS's end comes first.

    *limits* are None where no percentages hold tasks back; *timeout* is in seconds. Sources: those of
    `early_verdicts`.
    """
    if limits is not None and limits.let_nothing_move:
        why = "AWS says at once that the percentages let nothing move"
        return PlannedEnd(outcome=Outcome.FAILED, seconds=0.0, why=why)
    ends = [PlannedEnd(outcome=Outcome.TIMED_OUT, seconds=timeout, why=f"timeout {span(timeout)}")]
    ends += _unplaced(foretold, wait, desired)
    ends += _crash_loop(foretold, crash_loop_after(breaker, desired, crash_loop_threshold))
    first = min(ends, key=lambda each: each.seconds)
    first = replace(first, seconds=round(first.seconds, 1))
    return first if foretold.seconds is None or first.seconds < foretold.seconds else None


def _unplaced(foretold: Foretold, wait: WaitOptions, desired: int) -> Iterator[PlannedEnd]:
    """Yield the end for want of room: the first span without progress that is longer than we wait for it."""
    if not foretold.lacks_room:
        return
    limit = placement_seconds(
        wait.placement_timeout, is_given=wait.placement_timeout_given, is_certain=foretold.is_certain
    )
    all_placed = max(foretold.placed) if len(foretold.placed) >= desired > 0 else math.inf
    moves = sorted({0.0, *foretold.placed, *foretold.healthy, *foretold.freed})
    for at, following in zip(moves, [*moves[1:], math.inf], strict=True):
        if at >= all_placed:
            return
        if following - at > limit:
            why = f"no place for a new task for {span(limit)} (placement-timeout)"
            yield PlannedEnd(outcome=Outcome.NO_CAPACITY, seconds=at + limit, why=why)
            return


def _crash_loop(foretold: Foretold, allowed: int | None) -> Iterator[PlannedEnd]:
    if allowed is None:
        return
    number = 0
    for at, has_failed in sorted(
        [(at, True) for at in foretold.failed] + [(at, False) for at in foretold.healthy]
    ):
        number = number + 1 if has_failed else 0
        if number >= allowed:
            why = f"{number} tasks in a row failed and no circuit breaker is on (a crash loop)"
            yield PlannedEnd(outcome=Outcome.FAILED, seconds=at, why=why)
            return
