"""What is watched, what one look at AWS showed, and what was seen since the deployment began.

Times of AWS (created_at, stopped_at) are compared with each other only, times of our clock with our own: a
runner whose clock is wrong by minutes sees the same rollout.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ecs_gpu_deploy.core.capacity.percents import limits_for
from ecs_gpu_deploy.core.capacity.shortage import Shortage
from ecs_gpu_deploy.core.judge.codedeploy import CodeDeployState
from ecs_gpu_deploy.core.judge.evidence import (
    is_failure,
    is_healthy,
    is_leaving,
    is_unplaced_event,
    was_placed,
)
from ecs_gpu_deploy.core.judge.lifecycle import Stage
from ecs_gpu_deploy.core.judge.phases import PhaseName, phase_of, phase_of_task, rank
from ecs_gpu_deploy.core.judge.stays import ROLLING_BACK, Stay, with_look
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

SILENT_SECONDS = 60.0
"""After so long without any task of ours a refusal that AWS told before we began is held to be ours too."""
LEFT_OUT_SECONDS = 6 * 3600.0
"""For so long AWS leaves out a message that it has told (docs/aws-facts.md#service-events)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What we wait for.

    `baseline` holds the ids of the classic deployments and `known_events` those of the events from before
    UpdateService. `digests` maps containers to the image digest that must run (only where it is known), and
    of an index those of its images after it: a task may report either. `placement_timeout` and `timeout` are
    seconds; `placement_given` says that somebody set the former;
    `crash_loop_threshold` is None for the breaker's own. `checked_containers` are the
    essential ones with a health check, by which AWS calls a task HEALTHY.
    `watched_from` is when the watch began where that is later than the rollout (epoch seconds).
    `drain_seconds` is how long an old task may take to leave: deregistration delay, stopTimeout and a margin.
    `settle_seconds` is how long a finished rollout must stay up to be called good; None: as long as tasks of
    it took to fail. `codedeploy_id` is the deployment of a service that CodeDeploy deploys; `deployment_id`
    is then the task set that it makes, "" until that is there. `until` is the stage at which the wait ends.
    """

    deployment_id: str
    task_definition: str
    baseline: frozenset[str] = frozenset()
    known_events: frozenset[str] = frozenset()
    digests: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    started_at: float
    timeout: float
    placement_timeout: float
    placement_given: bool = False
    crash_loop_threshold: int | None = None
    allow_desired_zero: bool = False
    checked_containers: frozenset[str] = frozenset()
    drain_seconds: float = 90.0
    watched_from: float | None = None
    settle_seconds: float | None = None
    codedeploy_id: str = ""
    until: Stage | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What one look at AWS showed.

    `service` is None when AWS does not know it; `deployment` is None while unknown, `api_closed` says that it
    stays so. `tasks` is None where this look did not include them; `shortage` where nobody asked or nothing
    lacks; `instances` are the ids of the container instances, None where nobody asked. `newer` is a service
    deployment that began after ours. `stale` says that AWS did not show the service this time: `service` is
    then what was seen before, perhaps before the deployment began. `is_whole` says that this look was to show
    everything, `unseen` what of it AWS did not answer about (what is denied for good is not in it).
    `codedeploy` is the deployment of a service that CodeDeploy deploys; `deployment` is then made of it.
    """

    at: float
    service: Service | None
    deployment: ServiceDeployment | None = None
    api_closed: bool = False
    stale: bool = False
    tasks: tuple[Task, ...] | None = None
    target_health: tuple[TargetHealth, ...] | None = None
    shortage: Shortage | None = None
    instances: frozenset[str] | None = None
    newer: ServiceDeployment | None = None
    codedeploy: CodeDeployState | None = None
    is_whole: bool = False
    unseen: tuple[str, ...] = ()

    @property
    def is_answered(self) -> bool:
        """Say whether everything was asked for in this look, and AWS answered."""
        return self.is_whole and not self.unseen


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What was seen since the deployment began; `observed` adds a snapshot to it. Bounded in size.

    `live` and `others` are our own and the service's other tasks that run or begin, `stopped` our ended ones,
    `gone` those of others that AWS has shown as ended;
    `running_since` and `leaving_since` tell when a task (by ARN) was first seen running, or on its way out.
    `since_healthy` are the failed tasks of ours since one was last seen healthy. `unplaced_since` tells since
    when nothing of ours found a place, `placement_from` from when that is counted: since then nothing else
    moved either. `progress_at` is when the rollout last came further than ever before; `stays` are the phases
    in their order, `seconds` were spent in each, `allowed` are those that passed before its last progress.
    `ours_seen` says that AWS has shown our deployment once, `missing_since` since when it does not know the
    service, `silent_since` since when it does not show it. `desired_asked` is the desired count before AWS
    called the deployment done, `offset` what AWS's clock is ahead of ours in seconds. `rollback_asked`: it
    was seen in ROLLBACK_REQUESTED, the state into which StopServiceDeployment brings it.
    """

    started_at: float
    seen_at: float
    live: tuple[Task, ...] = ()
    others: tuple[Task, ...] = ()
    stopped: tuple[Task, ...] = ()
    gone: tuple[Task, ...] = ()
    since_healthy: tuple[Task, ...] = ()
    healthy: int = 0
    events: tuple[Event, ...] = ()
    target_health: tuple[TargetHealth, ...] = ()
    unplaced_since: float | None = None
    placement_from: float | None = None
    shortage: Shortage | None = None
    placed: int = 0
    instances: frozenset[str] = frozenset()
    running_since: Mapping[str, float] = field(default_factory=dict)
    leaving_since: Mapping[str, float] = field(default_factory=dict)
    ours_seen: bool = False
    missing_since: float | None = None
    silent_since: float | None = None
    desired_asked: int | None = None
    offset: float | None = None
    success_since: float | None = None
    foreign_since: float | None = None
    failed_since: float | None = None
    failure_reason: str = ""
    rollback_asked: bool = False
    phase: PhaseName = PhaseName.PLACEMENT
    phase_since: float = 0.0
    progress: float = -math.inf
    progress_at: float = 0.0
    stays: tuple[Stay, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    allowed: Mapping[PhaseName, float] = field(default_factory=dict)


def history_at_start(watched: Watched) -> History:
    """Return the empty history of a rollout that begins now."""
    at = watched.started_at if watched.watched_from is None else watched.watched_from
    stays = with_look((), PhaseName.PLACEMENT, at)
    return History(started_at=watched.started_at, seen_at=at, phase_since=at, progress_at=at, stays=stays)


def is_ours(watched: Watched, deployment: Deployment) -> bool:
    """Say whether *deployment* is the one we started, by its id alone.

    Source: docs/aws-facts.md#deployment-identity; a task set has its deployment's id as externalId.
    """
    if watched.codedeploy_id and deployment.external_id == watched.codedeploy_id:
        return True
    return deployment.id == watched.deployment_id


def ours_of(watched: Watched, service: Service | None) -> Deployment | None:
    """Return our deployment among the classic ones of *service*."""
    return next((d for d in service.deployments if is_ours(watched, d)), None) if service else None


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


def clock_offset(watched: Watched, ours: Deployment | ServiceDeployment | None) -> float | None:
    """Return the seconds that AWS's clock is ahead of ours: both know when our deployment began."""
    return ours.created_at - watched.started_at if ours is not None and ours.created_at else None


def observed(watched: Watched, history: History, snapshot: Snapshot) -> History:
    """Return *history* with what *snapshot* adds: tasks, events, phase times, first sights."""
    service = None if snapshot.stale else snapshot.service
    fresh = _fresh_events(watched, history, service)
    ours = ours_of(watched, service)
    # A task set of CodeDeploy's begins later than its deployment.
    begun = ours if snapshot.codedeploy is None else snapshot.deployment
    history = replace(
        history,
        events=tuple(sorted((*history.events, *fresh), key=lambda event: event.created_at))[-_KEPT_EVENTS:],
        target_health=history.target_health if snapshot.target_health is None else snapshot.target_health,
        ours_seen=history.ours_seen or ours is not None,
        missing_since=_since(history.missing_since, snapshot.at, snapshot.service is None),
        silent_since=_since(history.silent_since, snapshot.at, snapshot.stale),
        offset=clock_offset(watched, begun) if history.offset is None else history.offset,
        rollback_asked=history.rollback_asked
        or (
            snapshot.deployment is not None
            and snapshot.deployment.status == ServiceDeploymentStatus.ROLLBACK_REQUESTED
        ),
    )
    if snapshot.tasks is not None:
        history = _with_tasks(watched, history, snapshot.tasks, snapshot.at)
    if ours is not None and ours.rollout_state == RolloutState.FAILED:
        since = snapshot.at if history.failed_since is None else history.failed_since
        history = replace(history, failed_since=since, failure_reason=ours.rollout_state_reason)
    moved = history.progress_at
    history = _with_phase(watched, history, snapshot, ours)
    history = _with_capacity(watched, history, ours, fresh, snapshot, moved=history.progress_at > moved)
    success = says_successful(snapshot, ours)
    foreign = service is not None and service.primary is not None and not is_ours(watched, service.primary)
    asked = service.desired_count if service is not None and not success else history.desired_asked
    return replace(
        history,
        seen_at=snapshot.at,
        desired_asked=asked,
        success_since=_since(history.success_since, snapshot.at, success),
        foreign_since=_since(history.foreign_since, snapshot.at, foreign),
    )


def _since(before: float | None, at: float, holds: bool) -> float | None:
    """Return since when something *holds*, None where it does not."""
    if not holds:
        return None
    return at if before is None else before


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
    own = {task.arn for task in mine}
    known = {task.arn for task in history.stopped}
    ended = sorted(
        (task for task in mine if task.last_status == "STOPPED" and task.arn not in known),
        key=lambda task: task.stopped_at or at,
    )
    live = tuple(task for task in mine if task.last_status != "STOPPED")
    others = tuple(
        task for task in tasks if task.started_by != watched.deployment_id and task.last_status != "STOPPED"
    )
    running = {
        task.arn: history.running_since.get(task.arn, at) for task in live if task.last_status == "RUNNING"
    }
    gone = {task.arn: task for task in history.gone}
    gone |= {task.arn: task for task in tasks if task.arn not in own and task.last_status == "STOPPED"}
    history = replace(
        history,
        live=live,
        others=others,
        stopped=(*history.stopped, *ended)[-_KEPT_TASKS:],
        gone=tuple(gone.values())[-_KEPT_TASKS:],
        running_since=running,
        leaving_since={
            task.arn: history.leaving_since.get(task.arn, at) for task in others if is_leaving(task)
        },
    )
    healthy = sum(
        is_healthy(
            task,
            history.target_health,
            watched.checked_containers,
            up_seconds=up_seconds(history, task, at),
        )
        for task in live
    )
    failed = () if healthy else (*history.since_healthy, *(task for task in ended if is_failure(task)))
    return replace(history, since_healthy=failed[-_KEPT_TASKS:], healthy=healthy)


def up_seconds(history: History, task: Task, at: float) -> float:
    """Return for how many seconds a task runs at *at*: by our sight of it or AWS's time, the longer one."""
    seen = at - history.running_since.get(task.arn, at)
    if history.offset is None or task.started_at is None:
        return seen
    return max(seen, at + history.offset - task.started_at)


def leaving_instances(history: History) -> frozenset[str]:
    """Return the container instances on which a task of another revision is on its way out."""
    return frozenset(task.container_instance_arn for task in history.others if is_leaving(task)) - {""}


def _with_capacity(
    watched: Watched,
    history: History,
    ours: Deployment | None,
    fresh: Sequence[Event],
    snapshot: Snapshot,
    *,
    moved: bool,
) -> History:
    """Return *history* knowing since when nothing of ours found a place, and from when that is counted.

    One refusal followed by a placed task is none; AWS does not repeat a refusal for up to 6 h, so that only
    a placed task ends it (docs/aws-facts.md#service-events). What *moved* meanwhile (a new task that
    became healthy, an old one that left, an instance that registered) restarts the count, and an old task on
    its way out holds it: the place it leaves is what is waited for.
    """
    provisioning = [task for task in history.live if task.last_status == "PROVISIONING"]
    placed = len(history.live) - len(provisioning) + sum(map(was_placed, history.stopped))
    since, counted = history.unplaced_since, history.placement_from
    if placed > history.placed:
        since = counted = snapshot.at if _is_half_placed(history, ours, snapshot) else None
    if ours is not None and ours.running_count + ours.pending_count >= ours.desired_count > 0:
        since = None if not provisioning else since
    refusals = [event.created_at for event in fresh if is_unplaced_event(event)]
    if since is None and (provisioning or refusals):
        began = (*refusals, *(task.created_at for task in provisioning if task.created_at))
        since = by_our_clock(history, min(began, default=None), snapshot.at)
    if since is None and _is_refused_as_before(watched, history, ours, snapshot):
        since = watched.started_at
    joined = snapshot.instances is not None and bool(snapshot.instances - history.instances)
    first = not history.instances
    leaves = any(snapshot.at - at < watched.drain_seconds for at in history.leaving_since.values())
    if since is None:
        counted = None
    elif counted is None:
        counted = since
    if counted is not None and (moved or leaves or (joined and not first)):
        counted = snapshot.at
    shortage = (
        None if since is None else snapshot.shortage or (None if snapshot.is_whole else history.shortage)
    )
    return replace(
        history,
        unplaced_since=since,
        placement_from=counted,
        shortage=shortage,
        placed=max(placed, history.placed),
        instances=history.instances if snapshot.instances is None else snapshot.instances,
    )


def _is_half_placed(history: History, ours: Deployment | None, snapshot: Snapshot) -> bool:
    """Say whether some tasks of ours found a place after a refusal, and others still have none.

    AWS does not tell it again until the refusal is resolved (docs/aws-facts.md#service-events). Where tasks
    of ours failed ECS may only wait before it starts the next, and where maximumPercent is reached for room.
    """
    service = None if snapshot.stale else snapshot.service
    if ours is None or service is None or service.scheduling_strategy == "DAEMON":
        return False
    mine = max(ours.running_count + ours.pending_count, len(history.live))
    if mine >= ours.desired_count or any(map(is_failure, history.stopped)):
        return False
    if not any(map(is_unplaced_event, history.events)):
        return False
    there = sum(each.running_count + each.pending_count for each in service.deployments)
    most = limits_for(
        service.desired_count, minimum=service.minimum_healthy_percent, maximum=service.maximum_percent
    ).upper
    return there < most or service.strategy != "ROLLING"


def _is_refused_as_before(
    watched: Watched, history: History, ours: Deployment | None, snapshot: Snapshot
) -> bool:
    """Say whether nothing of ours was even started after a refusal that AWS told of before we began.

    AWS leaves a message out that it has told within 6 h, until its cause is gone
    (docs/aws-facts.md#service-events).
    """
    if ours is None or snapshot.service is None or history.live or history.stopped:
        return False
    if ours.running_count or ours.pending_count or not ours.desired_count:
        return False
    if snapshot.at - watched.started_at < SILENT_SECONDS or _is_held_back(snapshot.deployment):
        return False
    return any(
        is_unplaced_event(event)
        and event.id in watched.known_events
        and event.created_at > watched.started_at - LEFT_OUT_SECONDS
        for event in snapshot.service.events
    )


def _is_held_back(deployment: ServiceDeployment | None) -> bool:
    """Say whether AWS starts no task yet: a hook before SCALE_UP may hold it."""
    return deployment is not None and deployment.lifecycle_stage not in {"", "SCALE_UP"}


def by_our_clock(history: History, moment: float | None, at: float) -> float:
    """Return a moment of AWS's clock by ours, between the rollout's beginning and *at*."""
    if moment is None or history.offset is None:
        return at
    return min(max(moment - history.offset, history.started_at), at)


def _with_phase(watched: Watched, history: History, snapshot: Snapshot, ours: Deployment | None) -> History:
    rolling_back = snapshot.deployment is not None and "ROLLBACK" in snapshot.deployment.status
    phase = (
        history.phase
        if rolling_back
        else phase_of(
            [task for task in history.live if task.desired_status != "STOPPED"],
            history.target_health,
            watched.checked_containers,
            leaving_instances(history),
            desired_count=ours.desired_count if ours else 0,
            running_count=ours.running_count if ours else 0,
            finished=says_successful(snapshot, ours),
        )
    )
    seconds, allowed = dict(history.seconds), dict(history.allowed)
    was = history.stays[-1].name if history.stays else history.phase
    seconds[was] = seconds.get(was, 0.0) + max(snapshot.at - history.seen_at, 0.0)
    moved = phase != history.phase
    progress = _progress(watched, history, snapshot)
    further = progress > history.progress
    # While a hook waits for somebody the phase makes no progress, and is not to blame for it.
    waits = snapshot.deployment is not None and bool(snapshot.deployment.awaited_hooks)
    further = further or waits
    if further or moved:
        allowed[phase] = seconds.get(phase, 0.0)
    return replace(
        history,
        phase=phase,
        phase_since=snapshot.at if moved else history.phase_since,
        progress=max(progress, history.progress),
        progress_at=snapshot.at if further or moved else history.progress_at,
        stays=with_look(history.stays, ROLLING_BACK if rolling_back else phase, snapshot.at),
        seconds=seconds,
        allowed=allowed,
    )


def _progress(watched: Watched, history: History, snapshot: Snapshot) -> float:
    """Return how far the rollout has come, as one number: tasks' phases, old tasks gone, stages passed.

    Failed attempts do not add to it, so that a crash loop does not look like progress.
    """
    leaving = leaving_instances(history)
    tasks = sum(
        rank(phase_of_task(task, history.target_health, watched.checked_containers, leaving))
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
