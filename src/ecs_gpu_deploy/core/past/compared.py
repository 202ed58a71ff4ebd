"""Set what was foreseen of a rollout beside what was seen of it.

Times of AWS are counted from when it made the deployment, times of our looks from the update. What AWS does
not show, and what no look fell on, is not seen. Sources: docs/aws-facts.md#task-timeline and
#service-deployment-states.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from ecs_gpu_deploy.core.judge.observed import History
from ecs_gpu_deploy.core.judge.phases import PhaseName
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.core.past.scores import Score, is_as_foreseen, number_kept
from ecs_gpu_deploy.model import ServiceDeployment, Task
from ecs_gpu_deploy.result import Compared, ComparedValue, Outcome, Predicted

UNSEEN: Final = "not seen"
_ENDED: Final = {
    Outcome.SUCCEEDED: "succeeds",
    Outcome.ROLLED_BACK: "rolls back",
    Outcome.FAILED: "fails",
    Outcome.NO_CAPACITY: "stands still",
}
"""Other ends are those of our wait: how the rollout itself goes on is not seen."""


def compared_of(
    predicted: Predicted,
    verdict: Verdict,
    history: History,
    deployment: ServiceDeployment | None,
    *,
    gpu_minutes: float,
) -> Compared:
    """Return *predicted* beside what was seen; *gpu_minutes* are those that the new tasks held."""
    ended = _ENDED.get(verdict.outcome, UNSEEN)
    seconds = _seconds(verdict, history, deployment)
    interval = predicted.interval
    # What stands still never ends: its seconds are how far was looked ahead.
    lasts = None if predicted.ends == "stands still" else predicted.seconds
    values = [_value("duration", lasts, seconds)]
    values += _phases(predicted, verdict, history, deployment, seconds)
    values.append(_breaker(predicted, deployment))
    if predicted.new_gpu_minutes or gpu_minutes:
        held = None if seconds is None else gpu_minutes
        values.append(_value("gpu-minutes", predicted.new_gpu_minutes, held))
    is_within = None
    if interval is not None and seconds is not None and ended == "succeeds":
        is_within = interval.low <= seconds <= interval.high
    return Compared(
        ends=predicted.ends,
        ended=ended,
        as_foreseen=None if ended == UNSEEN else is_as_foreseen(predicted.ends, ended),
        within_interval=is_within,
        values=tuple(values),
    )


def score_of(predicted: Predicted, compared: Compared, history: History, *, number: str) -> Score | None:
    """Return what is kept of it for the deployment *number*; None where its end was not seen.

    One that stands still has lasted for as long as somebody looked.
    """
    if compared.ended == UNSEEN:
        return None
    actual, interval = compared.values[0].actual, predicted.interval
    return Score(
        number=number_kept(number),
        predicted=predicted.seconds,
        actual=history.seen_at - history.started_at if actual is None else actual,
        foreseen=predicted.ends,
        ended=compared.ended,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
    )


def _value(name: str, predicted: float | None, actual: float | None) -> ComparedValue:
    """Return a value that happens, where *actual* None is that it was not seen."""
    found = None if actual is None else round(max(actual, 0.0), 1)
    return ComparedValue(name=name, predicted=predicted, actual=found, seen=actual is not None)


def _seconds(verdict: Verdict, history: History, deployment: ServiceDeployment | None) -> float | None:
    """Return how long it lasted, by AWS's times where it shows them, else by our looks; None for no end."""
    if verdict.outcome not in {Outcome.SUCCEEDED, Outcome.ROLLED_BACK, Outcome.FAILED}:
        return None
    if deployment is None:
        return None if verdict.ours else history.seen_at - history.started_at
    if not deployment.status.is_terminal or deployment.finished_at is None:
        return None
    return deployment.finished_at - deployment.created_at


def _phases(
    predicted: Predicted,
    verdict: Verdict,
    history: History,
    deployment: ServiceDeployment | None,
    seconds: float | None,
) -> Iterable[ComparedValue]:
    """Yield when each phase ended that was foreseen: the last new task left it, of drain the last old one."""
    zero = history.started_at + (history.offset or 0.0)
    if deployment is not None and deployment.created_at:
        zero = deployment.created_at
    new = history.live if verdict.outcome == Outcome.SUCCEEDED else (*history.live, *history.stopped)
    gone = [task.stopped_at for task in history.gone if task.stopped_at and task.stopped_at >= zero]
    ends = {
        "placement": _last(new, [task.pull_started_at for task in new]),
        "pull": _last(new, [task.pull_stopped_at for task in new]),
        "start": _last(new, [task.started_at for task in new]),
        "drain": max(gone) if gone and not history.others else None,
    }
    loaded = _loaded_at(history) if verdict.outcome == Outcome.SUCCEEDED else None
    for phase in predicted.phases:
        if phase.name == "load":
            actual = None if loaded is None else loaded - history.started_at
        else:
            at = ends.get(phase.name)
            actual = None if at is None else at - zero
        if actual is not None and seconds is not None:
            actual = min(actual, seconds)
        yield _value(phase.name, phase.ended, actual)


def _last(tasks: Sequence[Task], times: Sequence[float | None]) -> float | None:
    """Return the last of *times*; None where a task has none."""
    known = [each for each in times if each is not None]
    return max(known) if known and len(known) == len(tasks) else None


def _loaded_at(history: History) -> float | None:
    """Return at which look nothing loaded any more, by our clock; None where no look fell on a load."""
    loads = {PhaseName.LOAD, PhaseName.TRAFFIC}
    at = [number for number, stay in enumerate(history.stays) if stay.name in loads]
    return history.stays[at[-1]].ended_at if at and at[-1] < len(history.stays) - 1 else None


def _breaker(predicted: Predicted, deployment: ServiceDeployment | None) -> ComparedValue:
    """Return when the circuit breaker acted: None, and seen, where the rollout ended without it."""
    foreseen = predicted.breaker_at
    if deployment is None or not deployment.status.is_terminal:
        return ComparedValue(name="breaker", predicted=foreseen, actual=None, seen=False)
    if deployment.breaker_status != "TRIGGERED":
        return ComparedValue(name="breaker", predicted=foreseen, actual=None, seen=True)
    at = deployment.rollback_started_at or deployment.finished_at
    return _value("breaker", foreseen, None if at is None else at - deployment.created_at)
