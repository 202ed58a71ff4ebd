"""The verdict of a rollout: judge(watched, snapshot, history, now) → Verdict, or Waiting.

Identity comes first: the deployment is ours by its id, never because "the service looks stable"
(aws-facts A1). With the service-deployment API its status decides; where that API is closed to us the
classic `deployments[]` do. Everything here is a function of what was seen and of the time passed in.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ecs_gpu_deploy.core.phases import PhaseName, phase_of
from ecs_gpu_deploy.model import (
    Deployment,
    Event,
    Outcome,
    RolloutState,
    Service,
    ServiceDeployment,
    ServiceDeploymentStatus,
    TargetHealth,
    Task,
)

SETTLE_SECONDS = 60.0
_KEPT_EVENTS = 400
_KEPT_TASKS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What we wait for. `baseline` holds the ids of the classic deployments from before UpdateService.

    `digests` maps containers to the image digest that must run (only where it is known).
    `placement_timeout` and `timeout` are seconds; `crash_loop_threshold` is None for the breaker's own.
    """

    deployment_id: str
    task_definition: str
    previous_task_definition: str = ""
    baseline: frozenset[str] = frozenset()
    digests: Mapping[str, str] = field(default_factory=dict)
    started_at: float
    timeout: float
    placement_timeout: float
    crash_loop_threshold: int | None = None
    allow_desired_zero: bool = False
    has_container_check: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What one look at AWS showed.

    `service` is None when it is gone; `deployment` is None while unknown, `api_closed` says that it stays so.
    `tasks` is None where this look did not include them; `newer` are service deployments after ours.
    """

    at: float
    service: Service | None
    deployment: ServiceDeployment | None = None
    api_closed: bool = False
    tasks: tuple[Task, ...] | None = None
    target_health: tuple[TargetHealth, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What was seen since the deployment began; `observed` adds a snapshot to it. Bounded in size."""

    started_at: float
    seen_at: float
    live: tuple[Task, ...] = ()
    others: tuple[Task, ...] = ()
    stopped: tuple[Task, ...] = ()
    events: tuple[Event, ...] = ()
    target_health: tuple[TargetHealth, ...] = ()
    healthy_at: float | None = None
    unplaced_since: float | None = None
    placed: int = 0
    success_since: float | None = None
    foreign_since: float | None = None
    failed_seen: bool = False
    failure_reason: str = ""
    phase: PhaseName = PhaseName.PLACEMENT
    phase_since: float = 0.0
    seconds: Mapping[PhaseName, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How it ended. `ours` says that we call it before AWS does, so that the deployment still goes on."""

    outcome: Outcome
    reason: str
    ours: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Not over. `note` says what AWS is doing where that is more than the phase tells."""

    note: str = ""
    rolling_back: bool = False


def history_at_start(watched: Watched) -> History:
    """Return the empty history of a rollout that begins now."""
    return History(started_at=watched.started_at, seen_at=watched.started_at, phase_since=watched.started_at)


def is_failure(task: Task) -> bool:
    """Say whether a stopped task is one that failed, not one that the scheduler replaced or a person stopped.

    Source: aws-facts A7 (stop codes); "Scaling activity initiated by" is the normal end of an old task.
    """
    if task.stopped_reason.startswith("Scaling activity initiated by"):
        return False
    if task.stop_code in {"EssentialContainerExited", "TaskFailedToStart"}:
        return True
    return "failed" in task.stopped_reason.lower() and task.stop_code != "UserInitiated"


def is_unplaced_event(event: Event) -> bool:
    """Say whether AWS says that it found no room for a task (aws-facts A5)."""
    message = event.message
    return "unable to place" in message and not any(
        other in message for other in ("CannotPull", "ResourceInitializationError", "CannotStart")
    )


def observed(watched: Watched, history: History, snapshot: Snapshot) -> History:
    """Return *history* with what *snapshot* adds: tasks, events, phase times, first sights."""
    service = snapshot.service
    known = {event.id for event in history.events}
    fresh = (
        tuple(
            event
            for event in service.events
            if event.id not in known and event.created_at >= watched.started_at - 1
        )
        if service
        else ()
    )
    history = replace(
        history,
        events=tuple(sorted((*history.events, *fresh), key=lambda event: event.created_at))[-_KEPT_EVENTS:],
        target_health=snapshot.target_health or history.target_health,
    )
    if snapshot.tasks is not None:
        history = _with_tasks(watched, history, snapshot.tasks, snapshot.at)
    ours = _ours(watched, service)
    if ours is not None and ours.rollout_state == RolloutState.FAILED:
        history = replace(history, failed_seen=True, failure_reason=ours.rollout_state_reason)
    history = _with_capacity(watched, history, ours, fresh, snapshot.at)
    history = _with_phase(watched, history, snapshot, ours)
    success = _says_successful(snapshot, ours)
    foreign = service is not None and service.primary is not None and not _is_ours(watched, service.primary)
    return replace(
        history,
        seen_at=snapshot.at,
        success_since=(history.success_since or snapshot.at) if success else None,
        foreign_since=(history.foreign_since or snapshot.at) if foreign else None,
    )


def _with_tasks(watched: Watched, history: History, tasks: Sequence[Task], at: float) -> History:
    mine = [task for task in tasks if task.started_by == watched.deployment_id]
    stopped = {task.arn: task for task in history.stopped}
    stopped.update((task.arn, task) for task in mine if task.last_status == "STOPPED")
    live = tuple(task for task in mine if task.last_status != "STOPPED")
    healthy = any(
        is_healthy(task, history.target_health, has_container_check=watched.has_container_check)
        for task in live
    )
    return replace(
        history,
        live=live,
        others=tuple(
            task
            for task in tasks
            if task.started_by != watched.deployment_id and task.last_status != "STOPPED"
        ),
        stopped=tuple(sorted(stopped.values(), key=lambda task: task.stopped_at or at))[-_KEPT_TASKS:],
        healthy_at=at if healthy else history.healthy_at,
    )


def is_healthy(task: Task, targets: Sequence[TargetHealth], *, has_container_check: bool) -> bool:
    """Say whether a task runs and all its checks pass, as far as one can see.

    With a load balancer and a container check a task counts only when both pass (aws-facts A4). Targets
    carry no task id, so one that is still initial or unhealthy counts against every task.
    """
    if task.last_status != "RUNNING" or (has_container_check and task.health_status != "HEALTHY"):
        return False
    return not any(target.state in {"initial", "unhealthy"} for target in targets)


def _with_capacity(
    watched: Watched, history: History, ours: Deployment | None, fresh: Sequence[Event], at: float
) -> History:
    """Return *history* knowing since when nothing of ours found a place."""
    placed = len([task for task in history.live if task.last_status != "PROVISIONING"]) + len(history.stopped)
    refused = [event.created_at for event in fresh if is_unplaced_event(event)]
    provisioning = [task for task in history.live if task.last_status == "PROVISIONING"]
    since = history.unplaced_since
    if placed > history.placed:
        since = None
    if ours is not None and ours.running_count + ours.pending_count >= ours.desired_count > 0:
        since = None if not provisioning else since
    if since is None and (refused or provisioning):
        since = min([*refused, *(task.created_at or at for task in provisioning)])
        since = max(since, watched.started_at) if placed <= history.placed else at
    return replace(history, unplaced_since=since, placed=max(placed, history.placed))


def _with_phase(watched: Watched, history: History, snapshot: Snapshot, ours: Deployment | None) -> History:
    rolling_back = snapshot.deployment is not None and "ROLLBACK" in snapshot.deployment.status
    phase = (
        history.phase
        if rolling_back
        else phase_of(
            history.live,
            snapshot.target_health or history.target_health,
            has_container_check=watched.has_container_check,
            desired_count=ours.desired_count if ours else 0,
            running_count=ours.running_count if ours else 0,
            finished=_says_successful(snapshot, ours),
        )
    )
    seconds = dict(history.seconds)
    seconds[history.phase] = seconds.get(history.phase, 0.0) + max(snapshot.at - history.seen_at, 0.0)
    since = history.phase_since if phase == history.phase else snapshot.at
    return replace(history, phase=phase, phase_since=since, seconds=seconds)


def _is_ours(watched: Watched, deployment: Deployment) -> bool:
    return deployment.id == watched.deployment_id


def _ours(watched: Watched, service: Service | None) -> Deployment | None:
    return next((d for d in service.deployments if _is_ours(watched, d)), None) if service else None


def _says_successful(snapshot: Snapshot, ours: Deployment | None) -> bool:
    if snapshot.deployment is not None:
        return snapshot.deployment.status == ServiceDeploymentStatus.SUCCESSFUL
    return (
        snapshot.api_closed
        and ours is not None
        and ours.status == "PRIMARY"
        and ours.rollout_state == RolloutState.COMPLETED
    )


def judge(watched: Watched, snapshot: Snapshot, history: History, now: float) -> Verdict | Waiting:
    """Return AWS's verdict on *watched*, ours where AWS will give none in time, or Waiting."""
    service = snapshot.service
    if service is None or service.status in {"INACTIVE", "DRAINING"}:
        return Verdict(outcome=Outcome.FAILED, reason="The service was deleted during the rollout.")
    verdict = (
        _by_service_deployment(watched, snapshot.deployment, service, history, now)
        if snapshot.deployment is not None
        else _by_classic_deployments(watched, service, history, now, closed=snapshot.api_closed)
    )
    if isinstance(verdict, Waiting) and not verdict.rolling_back:
        verdict = _called_by_us(watched, service, history, now) or verdict
    if isinstance(verdict, Waiting) and now - watched.started_at >= watched.timeout:
        return _timed_out(watched, service, history, verdict)
    return verdict


def _by_service_deployment(
    watched: Watched, deployment: ServiceDeployment, service: Service, history: History, now: float
) -> Verdict | Waiting:
    status = ServiceDeploymentStatus
    match deployment.status:
        case status.SUCCESSFUL:
            return _confirmed(watched, service, history, now)
        case status.ROLLBACK_SUCCESSFUL:
            return _rolled_back(deployment.rollback_reason or deployment.status_reason, service)
        case status.ROLLBACK_FAILED:
            return Verdict(
                outcome=Outcome.FAILED,
                reason=_sentence("The rollout failed and so did its rollback", deployment.status_reason),
            )
        case status.STOPPED | status.STOP_REQUESTED:
            return _stopped(watched, deployment, service, history)
        case status.ROLLBACK_REQUESTED | status.ROLLBACK_IN_PROGRESS:
            return Waiting(
                note=_sentence("AWS rolls back", deployment.rollback_reason or deployment.status_reason),
                rolling_back=True,
            )
    breaker = service.circuit_breaker
    if deployment.breaker_status == "TRIGGERED" and breaker.enable and not breaker.rollback:
        return _failed(deployment.status_reason or "the circuit breaker threshold was exceeded", service)
    ours = _ours(watched, service)
    if ours is not None and ours.rollout_state == RolloutState.FAILED and not breaker.rollback:
        return _failed(ours.rollout_state_reason, service)
    if deployment.lifecycle_stage and service.strategy != "ROLLING":
        return Waiting(note=f"stage {deployment.lifecycle_stage}")
    return Waiting()


def _stopped(
    watched: Watched, deployment: ServiceDeployment, service: Service, history: History
) -> Verdict | Waiting:
    """Tell "superseded" from "failed without a rollback": both end as STOPPED (aws-facts A1)."""
    ours, primary = _ours(watched, service), service.primary
    if history.failed_seen or deployment.breaker_status == "TRIGGERED" or deployment.triggered_alarms:
        return _failed(history.failure_reason or deployment.status_reason, service)
    if primary is not None and not _is_ours(watched, primary) and primary.id not in watched.baseline:
        return _superseded(primary)
    if ours is not None and ours.rollout_state == RolloutState.FAILED:
        return _failed(ours.rollout_state_reason, service)
    if deployment.status == ServiceDeploymentStatus.STOP_REQUESTED:
        return Waiting(note=_sentence("AWS stops the deployment", deployment.status_reason))
    return _failed(deployment.status_reason or "the deployment was stopped", service)


def _by_classic_deployments(
    watched: Watched, service: Service, history: History, now: float, *, closed: bool
) -> Verdict | Waiting:
    """Judge from `deployments[]` alone. A rollback's PRIMARY is an old id, a superseding one's is new."""
    ours, primary = _ours(watched, service), service.primary
    if primary is None:
        return Waiting(note="AWS shows no PRIMARY deployment")
    if _is_ours(watched, primary):
        if primary.rollout_state == RolloutState.FAILED and not service.circuit_breaker.rollback:
            return _failed(primary.rollout_state_reason, service)
        if not closed:
            return Waiting()
        if primary.rollout_state == RolloutState.COMPLETED:
            return _confirmed(watched, service, history, now)
        if primary.rollout_state is None and len(service.deployments) == 1:
            return _confirmed(watched, service, history, now)
        return Waiting()
    rollback = primary.id in watched.baseline or _says_rolling_back(primary, history, service)
    if rollback:
        reason = history.failure_reason or primary.rollout_state_reason
        if primary.rollout_state == RolloutState.COMPLETED:
            return _rolled_back(reason, service)
        if primary.rollout_state == RolloutState.FAILED:
            return Verdict(
                outcome=Outcome.FAILED,
                reason=_sentence("The rollout failed and so did its rollback", primary.rollout_state_reason),
            )
        return Waiting(note=_sentence("AWS rolls back", reason), rolling_back=True)
    if history.failed_seen and not service.circuit_breaker.rollback:
        return _failed(history.failure_reason, service)
    if ours is None or history.foreign_since is not None:
        return _superseded(primary)
    return Waiting()


def _says_rolling_back(primary: Deployment, history: History, service: Service) -> bool:
    if "rolling back to deployment" in primary.rollout_state_reason:
        return True
    ending = f"rolling back to deployment {primary.id}"
    return any(ending in event.message for event in (*history.events, *service.events[:20]))


def _confirmed(watched: Watched, service: Service, history: History, now: float) -> Verdict | Waiting:
    """Check that what AWS calls finished is what we asked for: ours, running, with the pushed digest."""
    primary = service.primary
    if primary is not None and not _is_ours(watched, primary):
        if primary.id in watched.baseline:
            return _rolled_back(primary.rollout_state_reason, service)
        return Verdict(
            outcome=Outcome.SUCCEEDED,
            reason="The deployment completed; a newer one has begun since.",
        )
    if service.desired_count == 0:
        if watched.allow_desired_zero:
            return Verdict(
                outcome=Outcome.SUCCEEDED,
                reason="The revision is set, but with a desired count of 0 nothing ran or was verified.",
            )
        return Verdict(
            outcome=Outcome.FAILED,
            reason="The desired count is 0: no task runs, so nothing was verified.",
        )
    waited = now - (history.success_since or now)
    needed = service.desired_count
    if service.early_success_percent is not None:
        needed = math.ceil(needed * service.early_success_percent / 100)
    running = primary.running_count if primary is not None else service.running_count
    if running < needed:
        if waited < SETTLE_SECONDS:
            return Waiting(note=f"AWS calls the deployment complete, but {running} of {needed} tasks run")
        return Verdict(
            outcome=Outcome.FAILED,
            reason=f"AWS calls the deployment complete, but only {running} of {needed} tasks run.",
        )
    return _digests_confirmed(watched, history, needed, waited)


def _digests_confirmed(watched: Watched, history: History, needed: int, waited: float) -> Verdict | Waiting:
    wrong = [
        f"{container.name} runs {container.image_digest}, not {watched.digests[container.name]}"
        for task in history.live
        if task.last_status == "RUNNING"
        for container in task.containers
        if container.name in watched.digests
        and container.image_digest
        and container.image_digest != watched.digests[container.name]
    ]
    if wrong and waited < SETTLE_SECONDS:
        return Waiting(note="AWS calls the deployment complete; the image digests differ still")
    if wrong:
        return Verdict(
            outcome=Outcome.FAILED, reason=f"Another image runs than the one deployed: {wrong[0]}."
        )
    tasks = "1 task runs and is healthy" if needed == 1 else f"{needed} tasks run and are healthy"
    return Verdict(outcome=Outcome.SUCCEEDED, reason=f"The deployment completed: {tasks}.")


def _called_by_us(watched: Watched, service: Service, history: History, now: float) -> Verdict | None:
    """Call what AWS will not call: no room, a deadlock of percentages, a crash loop without a breaker."""
    since = history.unplaced_since
    if since is not None and now - since >= watched.placement_timeout:
        return Verdict(
            outcome=Outcome.NO_CAPACITY,
            reason=f"No place was found for a task of the new revision for {_span(now - since)}.",
            ours=True,
        )
    for event in history.events:
        if "because of the service deployment configuration" in event.message:
            return Verdict(
                outcome=Outcome.FAILED,
                reason="The rollout cannot move: minimumHealthyPercent "
                f"{service.minimum_healthy_percent} and maximumPercent {service.maximum_percent} allow "
                f"neither to stop nor to start one of {service.desired_count} tasks.",
                ours=True,
            )
    if service.circuit_breaker.enable:
        return None
    threshold = watched.crash_loop_threshold or service.circuit_breaker.threshold(service.desired_count)
    failures = failures_in_a_row(history)
    if len(failures) >= threshold and len({signature(task) for task in failures[-threshold:]}) == 1:
        return Verdict(
            outcome=Outcome.FAILED,
            reason=f"A crash loop: {len(failures)} tasks in a row failed the same way and none became "
            "healthy; without a circuit breaker ECS would go on for ever.",
            ours=True,
        )
    return None


def failures_in_a_row(history: History) -> tuple[Task, ...]:
    """Return the failed tasks of ours since one was last seen healthy, oldest first."""
    return tuple(
        task
        for task in history.stopped
        if is_failure(task)
        and (history.healthy_at is None or (task.stopped_at or history.seen_at) > history.healthy_at)
    )


def signature(task: Task) -> tuple[object, ...]:
    """Return what makes two failures the same: stop code, exit codes, the reason up to its first colon."""
    exits = tuple(container.exit_code for container in task.containers)
    return (task.stop_code, exits, task.stopped_reason.partition(":")[0].partition("(")[0].strip())


def _timed_out(watched: Watched, service: Service, history: History, waiting: Waiting) -> Verdict:
    ours = _ours(watched, service)
    counts = (
        f"{ours.running_count} of {ours.desired_count} new tasks run" if ours else "the new tasks are gone"
    )
    doing = f"; {waiting.note}" if waiting.note else ""
    return Verdict(
        outcome=Outcome.TIMED_OUT,
        reason=f"Not finished after {_span(watched.timeout)}: in phase {history.phase}, {counts}{doing}.",
        ours=True,
    )


def _failed(why: str, service: Service) -> Verdict:
    kept = (
        "" if service.circuit_breaker.rollback else " Rollback is off, so the failed revision stays in place."
    )
    return Verdict(outcome=Outcome.FAILED, reason=_sentence("The deployment failed", why) + kept)


def _rolled_back(why: str, service: Service) -> Verdict:
    to = service.task_definition.rsplit("/", 1)[-1]
    return Verdict(
        outcome=Outcome.ROLLED_BACK,
        reason=_sentence(f"AWS rolled the service back to {to}", why),
    )


def _superseded(primary: Deployment) -> Verdict:
    definition = primary.task_definition.rsplit("/", 1)[-1]
    return Verdict(
        outcome=Outcome.SUPERSEDED,
        reason=f"Another deployment, {primary.id} with {definition}, took the place of ours.",
    )


def _sentence(what: str, why: str) -> str:
    why = why.strip().rstrip(".")
    return f"{what}: {why}." if why else f"{what}."


def _span(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"
