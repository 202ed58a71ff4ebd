"""The phases of a rollout, which one it is in, and how long each may take.

placement → pull → start → load → traffic → drain: find a place, fetch the image, create the container,
load the model until the container is healthy, pass the load balancer's check, let the old tasks go.

A deadline that we derive is an estimate: a phase that is late is said to be late, and AWS or the timeout
decides. A deadline that somebody set ends the wait. Both are counted from the last progress in the phase.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from ecs_gpu_deploy.core.defaults import STOP_TIMEOUT_SECONDS, bake_seconds, stop_timeout
from ecs_gpu_deploy.core.definition.task_definition import is_essential
from ecs_gpu_deploy.core.judge.codedeploy import BlueGreenWaits
from ecs_gpu_deploy.core.judge.evidence import passes_checks, waits_for_old_container
from ecs_gpu_deploy.core.judge.options import RolloutOptions
from ecs_gpu_deploy.core.judge.timing import ContainerCheck, HealthTiming, LoadBalancerCheck
from ecs_gpu_deploy.model import Service, TargetGroup, TargetHealth, Task

IMAGE_PULL_SECONDS = 1800.0
CONTAINER_START_SECONDS = 420.0
UNCHECKED_LOAD_SECONDS = 600.0
CHECK_MARGIN_SECONDS = 60.0


class PhaseName(StrEnum):
    """The phases in their order."""

    PLACEMENT = "placement"
    PULL = "pull"
    START = "start"
    LOAD = "load"
    TRAFFIC = "traffic"
    DRAIN = "drain"


_ORDER = tuple(PhaseName)


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseFacts:
    """The settings from which deadlines follow, in seconds.

    `healthy_seconds` is the target group's threshold times interval, `bake` every wait that the deployment
    configuration adds (bake time, traffic steps, alarms), `pauses` how long its PAUSE hooks may wait for
    somebody, `given` the deadlines that somebody set, by phase.
    """

    placement_timeout: float
    timing: HealthTiming
    healthy_seconds: float = 0.0
    deregistration_delay: float = 0.0
    stop_timeout: float = STOP_TIMEOUT_SECONDS
    bake: float = 0.0
    pauses: float = 0.0
    pull: float = IMAGE_PULL_SECONDS
    given: Mapping[str, float] = field(default_factory=dict)


def phase_facts(
    service: Service,
    containers: Sequence[Mapping[str, Any]],
    groups: Sequence[TargetGroup],
    options: RolloutOptions,
    *,
    pull_seconds: float = 0.0,
) -> PhaseFacts:
    """Return the facts for *service* behind *groups*, running *containers* (raw container definitions).

    *pull_seconds* is how long the pull may take, where that is known; it never shortens the deadline.
    Only essential containers count for a task's health (API Reference, "HealthCheck").
    Sources: docs/aws-facts.md#load-time and #alarm-bake-time.
    """
    essential = filter(is_essential, containers)
    check = next((each["healthCheck"] for each in essential if each.get("healthCheck")), None)
    return PhaseFacts(
        placement_timeout=options.wait.placement_timeout,
        timing=HealthTiming(
            grace=service.health_check_grace_period,
            load_balancer=_quickest_check(groups),
            container=None if check is None else ContainerCheck.of(check),
        ),
        pull=max(IMAGE_PULL_SECONDS, pull_seconds),
        healthy_seconds=max((g.interval * g.healthy_threshold + g.timeout for g in groups), default=0.0),
        deregistration_delay=max((g.deregistration_delay for g in groups), default=0.0),
        stop_timeout=max(map(stop_timeout, containers), default=STOP_TIMEOUT_SECONDS),
        bake=bake_of(service),
        pauses=service.pause_seconds,
        given=options.phase_deadlines,
    )


def bake_of(service: Service) -> float:
    """Return the seconds for which the service's settings have a deployment shift its traffic and bake.

    Source: docs/aws-facts.md#alarm-bake-time.
    """
    bake = bake_seconds(service.bake_time_minutes, strategy=service.strategy, alarms=bool(service.alarms))
    return service.traffic_shift_seconds + bake


def with_waits_of(facts: PhaseFacts, waits: BlueGreenWaits, *, shift: float) -> PhaseFacts:
    """Return *facts* with the waits of a deployment group of CodeDeploy, and of its traffic shift in seconds.

    The official action adds the same two waits to its own.
    """
    return replace(facts, bake=facts.bake + waits.termination + shift, pauses=facts.pauses + waits.ready)


def _quickest_check(groups: Sequence[TargetGroup]) -> LoadBalancerCheck | None:
    """Return the check of the group that is quickest to call a target unhealthy."""
    if not groups:
        return None
    group = min(groups, key=lambda group: group.interval * group.unhealthy_threshold)
    return LoadBalancerCheck(
        interval=group.interval, timeout=group.timeout, unhealthy_threshold=group.unhealthy_threshold
    )


def leaving_seconds(facts: PhaseFacts) -> float:
    """Return the seconds that an old task may take to leave: deregistration, stopTimeout, a margin."""
    return facts.deregistration_delay + facts.stop_timeout + CHECK_MARGIN_SECONDS


def phase_of_task(
    task: Task, targets: Sequence[TargetHealth], checked: Collection[str], leaving: Collection[str] = ()
) -> PhaseName:
    """Return how far one live task has come (docs/aws-facts.md#task-timeline).

    *checked* are the containers with a health check, *leaving* the container instances on which an old task
    is on its way out.
    """
    match task.last_status:
        case "PROVISIONING":
            return PhaseName.PLACEMENT
        case "PENDING" | "ACTIVATING":
            if waits_for_old_container(task, leaving):
                return PhaseName.PLACEMENT
            return PhaseName.START if task.pull_stopped_at else PhaseName.PULL
    if not passes_checks(task, checked):
        return PhaseName.LOAD
    if any(target.state in {"initial", "unhealthy"} for target in targets):
        return PhaseName.TRAFFIC if checked else PhaseName.LOAD
    return PhaseName.DRAIN


def phase_of(
    live: Sequence[Task],
    targets: Sequence[TargetHealth],
    checked: Collection[str],
    leaving: Collection[str] = (),
    *,
    desired_count: int,
    running_count: int,
    finished: bool,
) -> PhaseName:
    """Return the phase of the rollout: that of the live task that has come least far."""
    if finished:
        return PhaseName.DRAIN
    phases = [phase_of_task(task, targets, checked, leaving) for task in live]
    moving = [phase for phase in phases if phase != PhaseName.DRAIN]
    if moving:
        return min(moving, key=rank)
    if phases and running_count >= desired_count:
        return PhaseName.DRAIN
    return PhaseName.DRAIN if phases else PhaseName.PLACEMENT


def deadlines(facts: PhaseFacts) -> Mapping[PhaseName, float]:
    """Return for each phase the seconds after which it is late, counted from its last progress.

    Sources: page "Amazon ECS container agent configuration" (create 4 min, start 3 min), page "HealthCheck"
    and page "Health checks for Application Load Balancer target groups" by `HealthTiming`, page "Target
    group attributes" (deregistration delay), page "DeploymentConfiguration" (bake times),
    docs/aws-facts.md#load-time.
    """
    allowed = [
        seconds
        for seconds in (facts.timing.elb_allowed, facts.timing.container_allowed)
        if seconds is not None
    ]
    load = max(allowed) + CHECK_MARGIN_SECONDS if allowed else UNCHECKED_LOAD_SECONDS
    derived = {
        PhaseName.PLACEMENT: facts.placement_timeout,
        PhaseName.PULL: facts.pull,
        PhaseName.START: CONTAINER_START_SECONDS,
        PhaseName.LOAD: load,
        PhaseName.TRAFFIC: facts.healthy_seconds + CHECK_MARGIN_SECONDS,
        PhaseName.DRAIN: facts.deregistration_delay + facts.stop_timeout + facts.bake + CHECK_MARGIN_SECONDS,
    }
    return {phase: facts.given.get(phase, seconds) for phase, seconds in derived.items()}


def rank(phase: PhaseName) -> int:
    """Return how far *phase* is along the way, from 0."""
    return _ORDER.index(phase)
