"""What is watched, what one look at AWS showed, and what was seen since the deployment began.

Times of AWS (created_at, stopped_at) are compared with each other only, times of our clock with our own: a
runner whose clock is wrong by minutes sees the same rollout.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ecs_gpu_deploy.core.capacity.shortage import Shortage
from ecs_gpu_deploy.core.judge.phases import PhaseName, phase_of, phase_of_task, rank
from ecs_gpu_deploy.model import (
    Deployment,
    Event,
    RolloutState,
    Service,
    ServiceDeployment,
    ServiceDeploymentStatus,
    TargetHealth,
    Task,
)

_KEPT_EVENTS = 400
_KEPT_TASKS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What we wait for.

    `baseline` holds the ids of the classic deployments and `known_events` those of the events from before
    UpdateService. `digests` maps containers to the image digest that must run (only where it is known).
    `placement_timeout` and `timeout` are seconds; `placement_given` says that somebody set the former;
    `crash_loop_threshold` is None for the breaker's own.
    """

    deployment_id: str
    task_definition: str
    baseline: frozenset[str] = frozenset()
    known_events: frozenset[str] = frozenset()
    digests: Mapping[str, str] = field(default_factory=dict)
    started_at: float
    timeout: float
    placement_timeout: float
    placement_given: bool = False
    crash_loop_threshold: int | None = None
    allow_desired_zero: bool = False
    has_container_check: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What one look at AWS showed.

    `service` is None when it is gone; `deployment` is None while unknown, `api_closed` says that it stays so.
    `tasks` is None where this look did not include them; `shortage` where nobody asked or nothing lacks.
    `stale` says that AWS did not show the service this time: `service` is then what was seen before, perhaps
    before the deployment began.
    """

    at: float
    service: Service | None
    deployment: ServiceDeployment | None = None
    api_closed: bool = False
    stale: bool = False
    tasks: tuple[Task, ...] | None = None
    target_health: tuple[TargetHealth, ...] = ()
    shortage: Shortage | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What was seen since the deployment began; `observed` adds a snapshot to it. Bounded in size.

    `live` and `others` are our own and the service's other tasks that run or begin, `stopped` our ended ones.
    `since_healthy` are the failed tasks of ours since one was last seen healthy. `unplaced_since` tells since
    when nothing of ours found a place, `progress_at` when the rollout last came further than ever before;
    `seconds` were spent in each phase, `allowed` are those of them that passed before its last progress.
    """

    started_at: float
    seen_at: float
    live: tuple[Task, ...] = ()
    others: tuple[Task, ...] = ()
    stopped: tuple[Task, ...] = ()
    since_healthy: tuple[Task, ...] = ()
    healthy: int = 0
    events: tuple[Event, ...] = ()
    target_health: tuple[TargetHealth, ...] = ()
    unplaced_since: float | None = None
    shortage: Shortage | None = None
    placed: int = 0
    success_since: float | None = None
    foreign_since: float | None = None
    failed_since: float | None = None
    failure_reason: str = ""
    phase: PhaseName = PhaseName.PLACEMENT
    phase_since: float = 0.0
    progress: float = -math.inf
    progress_at: float = 0.0
    seconds: Mapping[PhaseName, float] = field(default_factory=dict)
    allowed: Mapping[PhaseName, float] = field(default_factory=dict)

    @property
    def extension(self) -> float:
        """Return the seconds by which progress has moved the deadline of the present phase."""
        return max(self.progress_at - self.phase_since, 0.0)


def history_at_start(watched: Watched) -> History:
    """Return the empty history of a rollout that begins now."""
    at = watched.started_at
    return History(started_at=at, seen_at=at, phase_since=at, progress_at=at)


def is_ours(watched: Watched, deployment: Deployment) -> bool:
    """Say whether *deployment* is the one we started, by its id alone.

    Source: docs/aws-facts.md#deployment-identity.
    """
    return deployment.id == watched.deployment_id


def ours_of(watched: Watched, service: Service | None) -> Deployment | None:
    """Return our deployment among the classic ones of *service*."""
    return next((d for d in service.deployments if is_ours(watched, d)), None) if service else None


def is_failure(task: Task) -> bool:
    """Say whether a stopped task is one that failed, not one that the scheduler replaced or a person stopped.

    Source: docs/aws-facts.md#stopped-tasks; "Scaling activity initiated by" is the normal end of an old task.
    """
    if task.stopped_reason.startswith("Scaling activity initiated by"):
        return False
    if task.stop_code in {"EssentialContainerExited", "TaskFailedToStart"}:
        return True
    return "failed" in task.stopped_reason.lower() and task.stop_code != "UserInitiated"


def is_unplaced_event(event: Event) -> bool:
    """Say whether AWS says that it found no room for a task (page "Amazon ECS service event messages")."""
    message = event.message
    return "unable to place" in message and not any(
        other in message for other in ("CannotPull", "ResourceInitializationError", "CannotStart")
    )


def signature(task: Task) -> tuple[object, ...]:
    """Return what makes two failures the same: stop code, exit codes, the reason up to its first colon.

    Behind the colon stand ids and times, which differ from task to task.
    """
    exits = tuple(container.exit_code for container in task.containers)
    return (task.stop_code, exits, task.stopped_reason.partition(":")[0].partition("(")[0].strip())


def says_successful(snapshot: Snapshot, ours: Deployment | None) -> bool:
    """Say whether AWS calls our deployment done: by its service deployment, else by COMPLETED on PRIMARY.

    Old tasks may still drain then. Sources: docs/aws-facts.md#service-deployment-states and
    #classic-deployments.
    """
    if snapshot.deployment is not None:
        return snapshot.deployment.status == ServiceDeploymentStatus.SUCCESSFUL
    return (
        snapshot.api_closed
        and ours is not None
        and ours.status == "PRIMARY"
        and ours.rollout_state == RolloutState.COMPLETED
    )


def is_healthy(task: Task, targets: Sequence[TargetHealth], *, has_container_check: bool) -> bool:
    """Say whether a task runs and all its checks pass, as far as one can see.

    With a load balancer and a container check a task counts only when both pass (page
    "DeploymentConfiguration", minimumHealthyPercent). Targets carry no task id, so one that is still initial
    or unhealthy counts against every task.
    """
    if task.last_status != "RUNNING" or (has_container_check and task.health_status != "HEALTHY"):
        return False
    return not any(target.state in {"initial", "unhealthy"} for target in targets)


def observed(watched: Watched, history: History, snapshot: Snapshot) -> History:
    """Return *history* with what *snapshot* adds: tasks, events, phase times, first sights."""
    service = None if snapshot.stale else snapshot.service
    fresh = _fresh_events(watched, history, service)
    history = replace(
        history,
        events=tuple(sorted((*history.events, *fresh), key=lambda event: event.created_at))[-_KEPT_EVENTS:],
        target_health=snapshot.target_health or history.target_health,
    )
    if snapshot.tasks is not None:
        history = _with_tasks(watched, history, snapshot.tasks, snapshot.at)
    ours = ours_of(watched, service)
    if ours is not None and ours.rollout_state == RolloutState.FAILED:
        since = snapshot.at if history.failed_since is None else history.failed_since
        history = replace(history, failed_since=since, failure_reason=ours.rollout_state_reason)
    history = _with_capacity(history, ours, fresh, snapshot)
    history = _with_phase(watched, history, snapshot, ours)
    success = says_successful(snapshot, ours)
    foreign = service is not None and service.primary is not None and not is_ours(watched, service.primary)
    return replace(
        history,
        seen_at=snapshot.at,
        success_since=(history.success_since or snapshot.at) if success else None,
        foreign_since=(history.foreign_since or snapshot.at) if foreign else None,
    )


def _fresh_events(watched: Watched, history: History, service: Service | None) -> tuple[Event, ...]:
    """Return the events not seen yet. Old ones are known by their ids: AWS's clock is not ours."""
    if service is None:
        return ()
    known = {event.id for event in history.events} | watched.known_events
    oldest = history.events[0].created_at if len(history.events) >= _KEPT_EVENTS else 0.0
    return tuple(
        event for event in reversed(service.events) if event.id not in known and event.created_at >= oldest
    )


def _with_tasks(watched: Watched, history: History, tasks: Sequence[Task], at: float) -> History:
    mine = [task for task in tasks if task.started_by == watched.deployment_id]
    known = {task.arn for task in history.stopped}
    ended = sorted(
        (task for task in mine if task.last_status == "STOPPED" and task.arn not in known),
        key=lambda task: task.stopped_at or at,
    )
    live = tuple(task for task in mine if task.last_status != "STOPPED")
    healthy = sum(
        is_healthy(task, history.target_health, has_container_check=watched.has_container_check)
        for task in live
    )
    failed = () if healthy else (*history.since_healthy, *(task for task in ended if is_failure(task)))
    return replace(
        history,
        live=live,
        others=tuple(
            task
            for task in tasks
            if task.started_by != watched.deployment_id and task.last_status != "STOPPED"
        ),
        stopped=(*history.stopped, *ended)[-_KEPT_TASKS:],
        since_healthy=failed[-_KEPT_TASKS:],
        healthy=healthy,
    )


def _with_capacity(
    history: History, ours: Deployment | None, fresh: Sequence[Event], snapshot: Snapshot
) -> History:
    """Return *history* knowing since when nothing of ours found a place.

    One refusal followed by a placed task is none; AWS does not repeat a refusal for up to 6 h, so that only
    a placed task ends it (docs/aws-facts.md#service-events).
    """
    provisioning = [task for task in history.live if task.last_status == "PROVISIONING"]
    placed = len(history.live) - len(provisioning) + len(history.stopped)
    since = history.unplaced_since
    if placed > history.placed:
        since = None
    if ours is not None and ours.running_count + ours.pending_count >= ours.desired_count > 0:
        since = None if not provisioning else since
    if since is None and (provisioning or any(is_unplaced_event(event) for event in fresh)):
        since = snapshot.at
    shortage = None if since is None else snapshot.shortage or history.shortage
    return replace(history, unplaced_since=since, shortage=shortage, placed=max(placed, history.placed))


def _with_phase(watched: Watched, history: History, snapshot: Snapshot, ours: Deployment | None) -> History:
    rolling_back = snapshot.deployment is not None and "ROLLBACK" in snapshot.deployment.status
    phase = (
        history.phase
        if rolling_back
        else phase_of(
            [task for task in history.live if task.desired_status != "STOPPED"],
            snapshot.target_health or history.target_health,
            has_container_check=watched.has_container_check,
            desired_count=ours.desired_count if ours else 0,
            running_count=ours.running_count if ours else 0,
            finished=says_successful(snapshot, ours),
        )
    )
    seconds, allowed = dict(history.seconds), dict(history.allowed)
    seconds[history.phase] = seconds.get(history.phase, 0.0) + max(snapshot.at - history.seen_at, 0.0)
    moved = phase != history.phase
    progress = _progress(watched, history, snapshot)
    further = progress > history.progress
    # While a hook waits for somebody the phase makes no progress, and is not to blame for it.
    waits = snapshot.deployment is not None and any(hook.awaits_action for hook in snapshot.deployment.hooks)
    further = further or waits
    if further or moved:
        allowed[phase] = seconds.get(phase, 0.0)
    return replace(
        history,
        phase=phase,
        phase_since=snapshot.at if moved else history.phase_since,
        progress=max(progress, history.progress),
        progress_at=snapshot.at if further or moved else history.progress_at,
        seconds=seconds,
        allowed=allowed,
    )


def _progress(watched: Watched, history: History, snapshot: Snapshot) -> float:
    """Return how far the rollout has come, as one number: tasks' phases, old tasks gone, stages passed.

    Failed attempts do not add to it, so that a crash loop does not look like progress.
    """
    tasks = sum(
        rank(phase_of_task(task, history.target_health, has_container_check=watched.has_container_check))
        for task in history.live
    )
    old = sum(
        d.running_count
        for d in (snapshot.service.deployments if snapshot.service else ())
        if not is_ours(watched, d)
    )
    deployment = snapshot.deployment
    traffic = (deployment.production_traffic or 0.0) if deployment is not None else 0.0
    return tasks + traffic - old
