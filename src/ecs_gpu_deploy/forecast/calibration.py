"""Fit the model to how long earlier rollouts lasted: the one duration of which no task tells."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from ecs_gpu_deploy.core.past.durations import Duration
from ecs_gpu_deploy.forecast.begin import Scene
from ecs_gpu_deploy.forecast.prediction import Ends, predict

_LONGEST: Final = 3600.0
_STEPS: Final = 12
"""Halvings of an hour: to the second."""


def fitted(scene: Scene, name: str, *, lasted: float, source: str, now: float) -> Scene | None:
    """Return *scene* with the duration *name* with which the model lasts as long as rollouts *lasted*.

    None where no such duration explains it: even without it the model lasts longer, or nothing ends well. It
    may raise CannotBegin.
    """
    low, high = 0.0, _LONGEST
    if _lasts(scene, name, low, now) > lasted:
        return None
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if _lasts(scene, name, middle, now) <= lasted:
            low = middle
        else:
            high = middle
    return _with(scene, name, low, source)


def _lasts(scene: Scene, name: str, seconds: float, now: float) -> float:
    """Return how long the model lasts with it; endlessly where it does not end well (as past the grace)."""
    found = predict(_with(scene, name, seconds, "tried"), now=now)
    return found.seconds if found.ends is Ends.WELL else float("inf")


def _with(scene: Scene, name: str, seconds: float, source: str) -> Scene:
    fitted = {name: Duration(seconds=seconds, source=source)}
    return replace(scene, durations=replace(scene.durations, **fitted))
