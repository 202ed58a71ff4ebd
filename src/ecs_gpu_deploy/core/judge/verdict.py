"""How a rollout ended, or that it has not."""

from __future__ import annotations

from dataclasses import dataclass

from ecs_gpu_deploy.model import LifecycleHook
from ecs_gpu_deploy.result import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How it ended. `ours` says that we call it before AWS does, so that the deployment still goes on.

    `without_candidate` says that ECS found nothing to roll back to.
    `requested` says that somebody asked AWS for this end, so that it has no technical cause; `stable` is
    False where tasks of the revision failed and it has not outlived that: nothing to go back to later.
    """

    outcome: Outcome
    reason: str
    ours: bool = False
    without_candidate: bool = False
    requested: bool = False
    stable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Not over. `note` says what AWS is doing where that is more than the phase tells.

    `stage` is the lifecycle stage of a blue/green, linear or canary deployment, `hook` the one of its hooks
    that waits for somebody. `closer` asks for a look at everything, now: a verdict hangs on it.
    """

    note: str = ""
    rolling_back: bool = False
    closer: bool = False
    stage: str = ""
    hook: LifecycleHook | None = None


def sentence(what: str, why: str) -> str:
    """Return `what: why.`, or `what.` where nobody says why."""
    why = why.strip().rstrip(".")
    return f"{what}: {why}." if why else f"{what}."


def spoken_span(seconds: float) -> str:
    """Return a span as it is said in a sentence: `45 s`, `5 min`, `5 min 20 s`, `2 h 5 min`."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 180:
        hours, minutes = divmod(minutes, 60)
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    if not minutes:
        return f"{rest} s"
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"
