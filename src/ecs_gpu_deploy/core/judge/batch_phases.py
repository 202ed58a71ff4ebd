"""How long a batch was in each phase, by its tasks' own time stamps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from ecs_gpu_deploy.core.judge.task_end import Stage
from ecs_gpu_deploy.model import Task

_FURTHEST_FIRST = (Stage.RUN, Stage.START, Stage.PULL)


def batch_seconds(tasks: Sequence[Task], *, began: float, until: float) -> Mapping[Stage, float]:
    """Return the seconds in each phase, which add up to the time from *began* to *until* (epoch seconds).

    At each moment the phase is that of the task which is furthest: while one task runs the batch runs,
    whatever the others wait for. Where no task holds a place, the batch waits for one. Source:
    docs/aws-facts.md#task-timeline.
    """
    seconds = {Stage.PLACEMENT: 0.0, Stage.PULL: 0.0, Stage.START: 0.0, Stage.RUN: 0.0}
    moves = sorted(
        (min(max(at, began), until), stage, by) for task in tasks for at, stage, by in _moves(task)
    )
    there: Counter[Stage] = Counter()
    since = began
    for at, stage, by in (*moves, (until, Stage.PLACEMENT, 0)):
        phase = next((each for each in _FURTHEST_FIRST if there[each]), Stage.PLACEMENT)
        seconds[phase] += max(at - since, 0.0)
        there[stage] += by
        since = at
    return seconds


def _moves(task: Task) -> Iterator[tuple[float, Stage, int]]:
    """Give when *task* entered (1) and left (-1) each stage in which it held a place."""
    entered = (
        (Stage.PULL, task.pull_started_at),
        (Stage.START, task.pull_stopped_at),
        (Stage.RUN, task.started_at),
    )
    known = [(stage, at) for stage, at in entered if at is not None]
    left = (*(at for _, at in known[1:]), task.stopped_at) if known else ()
    for (stage, at), end in zip(known, left, strict=True):
        yield at, stage, 1
        if end is not None:
            yield max(at, end), stage, -1
