"""Run a rollout ahead: when each phase ends, whether it ends well, what it holds and how long.

Source: what the model of ECS rests on, docs/aws-facts.md#task-timeline and #circuit-breaker.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from ecs_gpu_deploy.core.judge.timing import MAX_START_PERIOD, grace_needed, start_period_needed
from ecs_gpu_deploy.ecs_model import Scheduler
from ecs_gpu_deploy.ecs_model.state import Service, ServiceDeployment, Task
from ecs_gpu_deploy.ecs_model.statuses import BreakerStatus
from ecs_gpu_deploy.forecast.begin import Scene, begin, gpus_of, update
from ecs_gpu_deploy.model import ServiceDeploymentStatus

LONGEST_SECONDS: Final = 4 * 3600.0
"""Further ahead is looked only while tasks become healthy: what else has not ended by then stands still."""
_PROGRESS_SECONDS: Final = 2 * 3600.0
_NO_FURTHER_SECONDS: Final = 7 * 86_400.0
_MARGIN: Final = 1.5
_SHORTEST_TIMEOUT: Final = 600


class Ends(StrEnum):
    """How a rollout is foreseen to end."""

    WELL = "succeeds"
    BACK = "rolls back"
    FAILED = "fails"
    NEVER = "stands still"


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictedPhase:
    """When the first task enters a phase and the last one leaves it, in seconds from the update."""

    name: str
    began: float
    ended: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictedTask:
    """A task of the rollout, in seconds from the update; None for what does not happen.

    `placed` is 0 for an old one, `leaves` when it is told to stop and `gone` when its room is free.
    """

    name: str
    is_new: bool
    placed: float | None
    pulled: float | None = None
    started: float | None = None
    healthy: float | None = None
    leaves: float | None = None
    gone: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What a rollout is foreseen to do. Times are seconds from the update.

    `breaker_at` is when the circuit breaker acts, None where it does not, after `failures` failed tasks.
    `gpu_seconds` are held by all its tasks until the end, `double_gpu_seconds` are those beside the desired
    number, `new_gpu_seconds` those of the new ones. `failed_at` tells when new tasks ended unhealthy.
    `launched` instances run for `launched_seconds` together.
    """

    ends: Ends
    seconds: float
    phases: tuple[PredictedPhase, ...]
    tasks: tuple[PredictedTask, ...]
    breaker_at: float | None
    failures: int
    gpu_seconds: float
    double_gpu_seconds: float
    new_gpu_seconds: float
    launched: int
    launched_seconds: float
    failed_at: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """Settings that fit what is foreseen, in seconds; `start_period` is at most what AWS takes."""

    timeout: int
    grace_period: int
    start_period: int
    start_period_is_capped: bool


def predict(scene: Scene, *, now: float) -> Prediction:
    """Run the rollout ahead from *now* (epoch seconds) and return what comes."""
    scheduler = begin(scene, now=now)
    before = set(scheduler.instances)
    old = list(_tasks(scheduler, scene.service.name))
    update(scheduler, scene, now=now)
    service = scheduler.services[scene.service.name]
    record = scheduler.service_deployments[service.service_deployment_arns[0]]
    healthy, failed, breaker_at = _run(scheduler, service, record, now)
    ended = record.finished_at if record.status.is_terminal and record.finished_at else scheduler.now
    seconds = min(ended, scheduler.now) - now
    known = {task.arn for task in old}
    new = [
        task
        for task in scheduler.tasks.values()
        if task.service_name == service.name and task.arn not in known and task.created_at >= now
    ]
    rows = tuple(_rows(old, new, healthy, now))
    arrived = [each for arn, each in scheduler.instances.items() if arn not in before]
    gpus = {True: gpus_of(scene.new_definition), False: gpus_of(scene.old_definition)}
    desired = scene.situation.limits.desired
    held, double = _held(rows, gpus, seconds, desired)
    return Prediction(
        ends=_ends(record),
        seconds=seconds,
        phases=tuple(_phases(rows, seconds)),
        tasks=rows,
        breaker_at=None if breaker_at is None else breaker_at - now,
        failures=record.failure_count,
        gpu_seconds=held,
        double_gpu_seconds=double,
        new_gpu_seconds=_held([row for row in rows if row.is_new], gpus, seconds, desired)[0],
        launched=len(arrived),
        failed_at=tuple(at - now for at in failed.values()),
        launched_seconds=sum(max(0.0, now + seconds - each.registered_at) for each in arrived),
    )


def advice_of(scene: Scene, prediction: Prediction) -> Advice:
    """Return the timeout, grace period and startPeriod that fit: half as much again as is foreseen."""
    load = scene.durations.load.seconds
    minutes = math.ceil(prediction.seconds * _MARGIN / 60)
    return Advice(
        timeout=max(_SHORTEST_TIMEOUT, minutes * 60),
        grace_period=grace_needed(load),
        start_period=start_period_needed(load),
        start_period_is_capped=load > MAX_START_PERIOD,
    )


def _tasks(scheduler: Scheduler, name: str) -> Iterable[Task]:
    for deployment in scheduler.services[name].deployments:
        yield from deployment.tasks.values()


def _run(
    scheduler: Scheduler, service: Service, record: ServiceDeployment, now: float
) -> tuple[dict[str, float], dict[str, float], float | None]:
    """Step to the end; return when tasks were first healthy, when others failed, when the breaker acted."""
    healthy: dict[str, float] = {}
    failed: dict[str, float] = {}
    breaker_at: float | None = None
    until = now + LONGEST_SECONDS
    while not record.status.is_terminal:
        due = scheduler.next_due()
        if due is None or due > until:
            break
        scheduler.advance(due)
        if breaker_at is None and record.breaker_status is BreakerStatus.TRIGGERED:
            breaker_at = scheduler.now
        primary = service.primary
        for arn, task in primary.tasks.items():
            if task.healthy and arn not in healthy:
                healthy[arn] = scheduler.now
                until = min(max(until, scheduler.now + _PROGRESS_SECONDS), now + _NO_FURTHER_SECONDS)
            if not task.live and arn not in healthy:
                failed.setdefault(arn, scheduler.now)
    return healthy, failed, breaker_at


def _ends(record: ServiceDeployment) -> Ends:
    match record.status:
        case ServiceDeploymentStatus.SUCCESSFUL:
            return Ends.WELL
        case ServiceDeploymentStatus.ROLLBACK_SUCCESSFUL | ServiceDeploymentStatus.ROLLBACK_FAILED:
            return Ends.BACK
        case ServiceDeploymentStatus.STOPPED:
            return Ends.FAILED
    return Ends.NEVER


def _rows(
    old: Sequence[Task], new: Sequence[Task], healthy: dict[str, float], now: float
) -> Iterable[PredictedTask]:
    def since(at: float | None) -> float | None:
        return None if at is None else at - now

    for number, task in enumerate(old, start=1):
        yield PredictedTask(
            name=f"old {number}",
            is_new=False,
            placed=0.0,
            leaves=since(_leaves(task)),
            gone=since(task.stopped_at),
        )
    for number, task in enumerate(new, start=1):
        yield PredictedTask(
            name=f"new {number}",
            is_new=True,
            placed=since(task.pull_started_at),
            pulled=since(task.pull_stopped_at),
            started=since(task.started_at),
            healthy=since(healthy.get(task.arn)),
            leaves=since(_leaves(task)),
            gone=since(task.stopped_at),
        )


def _leaves(task: Task) -> float | None:
    """Return when a task was told to stop: before its targets drain."""
    if task.live:
        return None
    drains = [each.drains_until for each in task.targets if each.drains_until is not None]
    return task.left_at if task.left_at is not None else (min(drains) if drains else task.stopping_at)


def _phases(rows: Sequence[PredictedTask], seconds: float) -> Iterable[PredictedPhase]:
    new = [row for row in rows if row.is_new]
    leaving = [row for row in rows if not row.is_new and row.leaves is not None]
    spans: dict[str, tuple[Sequence[float | None], Sequence[float | None]]] = {
        "placement": ([0.0] if new else [], [row.placed for row in new]),
        "pull": ([row.placed for row in new], [row.pulled for row in new]),
        "start": ([row.pulled for row in new], [row.started for row in new]),
        "load": ([row.started for row in new], [row.healthy for row in new]),
        "drain": ([row.leaves for row in leaving], [row.gone for row in leaving]),
    }
    for name, (begins, ends) in spans.items():
        first = [each for each in begins if each is not None]
        if not first:
            continue
        last = max((seconds if each is None else each for each in ends), default=seconds)
        yield PredictedPhase(name=name, began=min(first), ended=min(max(last, min(first)), seconds))


def _held(
    rows: Sequence[PredictedTask], gpus: dict[bool, float], seconds: float, desired: int
) -> tuple[float, float]:
    """Return the GPU-seconds that all tasks hold until the end, and those above the desired number's."""
    changes: list[tuple[float, float]] = []
    for row in rows:
        if row.placed is not None:
            until = seconds if row.gone is None else min(row.gone, seconds)
            changes += [(row.placed, gpus[row.is_new]), (max(until, row.placed), -gpus[row.is_new])]
    wanted = desired * gpus[True]
    total = double = level = at = 0.0
    for when, change in sorted(changes):
        total += level * (when - at)
        double += max(0.0, level - wanted) * (when - at)
        level, at = level + change, when
    return total, double
