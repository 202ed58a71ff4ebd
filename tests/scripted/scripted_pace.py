"""How often the program asks AWS in a world: calls and seconds, all, after zero, while nothing is placed."""

from __future__ import annotations

from collections.abc import Sequence

from scripted_aws import START, Call, ScriptedAws
from scripted_names import NEVER, OURS


def pace(aws: ScriptedAws) -> dict[str, float]:
    """Return calls and seconds of a world that has ended.

    In all: from the program's start to its end, on the stepped clock. Watched: after zero (UpdateService,
    RunTask, the start of a watch). Unplaced: from zero to the first place of a task of ours, or to the end
    where there never was one; 0 where nothing was begun.
    """
    until = _first_place(aws)
    after_zero = _after_zero(aws)
    return {
        "calls": len(aws.calls),
        "waited": round(aws.now - START, 1),
        "watched_calls": len(after_zero),
        "watched": round(aws.seconds, 1),
        "unplaced_calls": sum(call.at < until for call in after_zero),
        "unplaced": round(until, 1),
    }


def _after_zero(aws: ScriptedAws) -> Sequence[Call]:
    """Return the calls after the one that began the rollout; all of them where a watch came to it."""
    began = (n for n, call in enumerate(aws.calls, 1) if call.operation in {"UpdateService", "RunTask"})
    return aws.calls[next(began, 0) :]


def _first_place(aws: ScriptedAws) -> float:
    """Return the second at which the first task of ours had a place, or at which the program ended."""
    state = aws.state
    if not state.started:
        return 0.0
    ours = (
        task.placed
        for task in state.tasks
        if task.deployment == f"ecs-svc/{OURS}" or task.id in state.run_tasks
    )
    return max(min([*ours, aws.seconds, NEVER]), 0.0)
