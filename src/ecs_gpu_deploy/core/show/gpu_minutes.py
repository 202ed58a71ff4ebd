"""The GPU time that a rollout held, what of it was wasted, and what it cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ecs_gpu_deploy.core.show.progress import TaskGpus
from ecs_gpu_deploy.result import Outcome

_NOTHING_SERVES = frozenset({Outcome.ROLLED_BACK, Outcome.FAILED, Outcome.NO_CAPACITY, Outcome.SUPERSEDED})


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuMinutes:
    """GPUs times minutes, of the tasks of the new revision; `wasted` is a part of `held`."""

    held: float = 0.0
    wasted: float = 0.0


def gpu_minutes(
    tasks: Sequence[TaskGpus], *, until: float, outcome: Outcome, is_taken_back: bool = False
) -> GpuMinutes:
    """Return what the rollout's tasks held up to *until* (epoch seconds).

    A GPU is held from placement on, while the image is pulled and the model loads. Wasted is the time of
    failed tasks, and all of it where the rollout ended without a task that serves: by its *outcome*, or
    because we had AWS roll it back.
    """
    held = wasted = 0.0
    for task in tasks:
        if not task.ours or task.placed_at is None:
            continue
        ended = until if task.stopped_at is None else task.stopped_at
        minutes = task.gpus * max(ended - task.placed_at, 0.0) / 60
        held += minutes
        if task.failed or is_taken_back or outcome in _NOTHING_SERVES:
            wasted += minutes
    return GpuMinutes(held=held, wasted=wasted)


def gpu_sentence(minutes: GpuMinutes, *, hourly_cost: float | None) -> str:
    """Return what a person reads of it, "" where no GPU was held. The currency is the user's own."""
    if minutes.held <= 0:
        return ""
    if minutes.wasted >= minutes.held:
        wasted = "all wasted"
    else:
        wasted = f"{minutes.wasted:.1f} of them wasted" if minutes.wasted > 0 else "none wasted"
    text = f"{minutes.held:.1f} GPU-minutes held, {wasted}"
    if hourly_cost is not None:
        spent, lost = (value / 60 * hourly_cost for value in (minutes.held, minutes.wasted))
        text += f" (at {hourly_cost:g} per GPU-hour: {spent:.2f} spent, {lost:.2f} wasted)"
    return text
