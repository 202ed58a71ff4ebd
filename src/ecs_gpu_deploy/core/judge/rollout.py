"""The verdict of a rollout: judge(watched, snapshot, history, now) → Verdict, or Waiting.

Identity comes first: the deployment is ours by its id, never because "the service looks stable"
(docs/aws-facts.md#deployment-identity). With the service-deployment API its status decides (page "View
service history using Amazon ECS service deployments"); where that API is closed to us the classic
`deployments[]` do. Everything here is a function of what was seen and of the time passed in.
"""

from __future__ import annotations

from dataclasses import replace

from ecs_gpu_deploy.core.judge.codedeploy_verdict import by_codedeploy
from ecs_gpu_deploy.core.judge.confirm import confirmed
from ecs_gpu_deploy.core.judge.early_verdicts import called_by_us, timed_out
from ecs_gpu_deploy.core.judge.evidence import VANISHED_SECONDS, says_failed, says_rolling_back
from ecs_gpu_deploy.core.judge.lifecycle import at_stage
from ecs_gpu_deploy.core.judge.observed import (
    History,
    Snapshot,
    Watched,
    history_at_start,
    is_ours,
    observed,
    ours_of,
)
from ecs_gpu_deploy.core.judge.phases import PhaseFacts
from ecs_gpu_deploy.core.judge.verdict import Verdict, Waiting, sentence, spoken_span
from ecs_gpu_deploy.model import (
    Deployment,
    RolloutState,
    Service,
    ServiceDeployment,
    ServiceDeploymentStatus,
    short_id,
)
from ecs_gpu_deploy.result import Outcome

__all__ = [
    "History",
    "Snapshot",
    "Verdict",
    "Waiting",
    "Watched",
    "by_aws",
    "history_at_start",
    "judge",
    "observed",
]

SILENT_END_SECONDS = 60.0
"""How long a service may not be shown before the end of its rollback is told without it."""
ROLLBACK_SECONDS = 20.0
"""How long a FAILED PRIMARY may be the first half of a rollback, where rollback is on."""


def judge(
    watched: Watched, snapshot: Snapshot, history: History, now: float, facts: PhaseFacts | None = None
) -> Verdict | Waiting:
    """Return AWS's verdict on *watched*, ours where AWS will give none in time, or Waiting.

    *facts* carries the deadlines that somebody set for a phase; without it none was set.
    """
    verdict = by_aws(watched, snapshot, history, now, facts)
    service = snapshot.service
    if isinstance(verdict, Verdict) or service is None:
        return verdict
    if reached := at_stage(watched.until, snapshot.deployment, verdict, now - watched.started_at):
        return reached
    ours = None if verdict.rolling_back else called_by_us(watched, service, history, now, facts)
    late = now - watched.started_at >= watched.timeout
    if (ours is not None or late) and not snapshot.is_whole:
        return replace(verdict, closer=True)
    if ours is not None and snapshot.is_answered:
        return ours
    if late:
        return timed_out(watched, service, history, snapshot, verdict)
    return verdict


def by_aws(
    watched: Watched, snapshot: Snapshot, history: History, now: float, facts: PhaseFacts | None
) -> Verdict | Waiting:
    """Return what AWS's own answers say (docs/aws-facts.md#service-deployment-states)."""
    service = snapshot.service
    if service is None:
        return _vanished(watched, history, now)
    if service.status in {"INACTIVE", "DRAINING"}:
        return Verdict(outcome=Outcome.FAILED, reason="The service was deleted during the rollout.")
    if snapshot.stale:
        return _unshown(snapshot, history, now)
    if service.deployment_controller == "CODE_DEPLOY":
        return by_codedeploy(watched, snapshot, service, history, now=now, facts=facts)
    if snapshot.deployment is not None:
        return _by_service_deployment(
            watched, snapshot, snapshot.deployment, service, history=history, now=now, facts=facts
        )
    return _by_classic_deployments(watched, snapshot, service, history, now=now, facts=facts)


def _vanished(watched: Watched, history: History, now: float) -> Verdict | Waiting:
    """Doubt a service that AWS suddenly does not know, for as long as its views may lag."""
    missing = now - (now if history.missing_since is None else history.missing_since)
    if missing < min(VANISHED_SECONDS, max(watched.started_at + watched.timeout - now, 0.0) + missing):
        return Waiting(note="AWS does not know the service just now")
    return Verdict(
        outcome=Outcome.FAILED,
        reason="The service was deleted during the rollout: AWS has not known it for "
        f"{spoken_span(missing)}.",
    )


def _unshown(snapshot: Snapshot, history: History, now: float) -> Verdict | Waiting:
    """Wait for a service that AWS does not show, but not beyond the end of a rollback that it does show.

    Any other end hangs on what the service shows. Its last known counts tell nothing of now.
    """
    deployment, status = snapshot.deployment, ServiceDeploymentStatus
    if deployment is not None and now - (history.silent_since or now) >= SILENT_END_SECONDS:
        if deployment.status == status.ROLLBACK_SUCCESSFUL:
            requested = _is_requested(deployment, history)
            reason = sentence("AWS rolled the service back", _why(deployment))
            return Verdict(outcome=Outcome.ROLLED_BACK, reason=reason, requested=requested)
        if deployment.status == status.ROLLBACK_FAILED:
            return _rollback_failed(deployment.status_reason)
    return Waiting(note="AWS does not show the service just now")


def _by_service_deployment(
    watched: Watched,
    snapshot: Snapshot,
    deployment: ServiceDeployment,
    service: Service,
    *,
    history: History,
    now: float,
    facts: PhaseFacts | None,
) -> Verdict | Waiting:
    """Judge by the status of our service deployment; a status that we do not know is waited on.

    Source: ServiceDeployment in the Amazon ECS API Reference; docs/aws-facts.md#service-deployment-states.
    """
    status = ServiceDeploymentStatus
    match deployment.status:
        case status.SUCCESSFUL:
            return confirmed(watched, snapshot, service, history, now=now, facts=facts)
        case status.ROLLBACK_SUCCESSFUL:
            return _rolled_back(
                watched,
                _why(deployment),
                service,
                requested=_is_requested(deployment, history),
                ended=deployment.finished_at,
            )
        case status.ROLLBACK_FAILED:
            return _rollback_failed(deployment.status_reason, service)
        case status.STOPPED | status.STOP_REQUESTED:
            return _stopped(watched, snapshot, deployment, service, history)
        case status.ROLLBACK_REQUESTED | status.ROLLBACK_IN_PROGRESS:
            return Waiting(
                note=sentence("AWS rolls back", _why(deployment)),
                rolling_back=True,
            )
    breaker = service.circuit_breaker
    if deployment.breaker_status == "TRIGGERED" and breaker.enable and not breaker.rollback:
        return _failed(deployment.status_reason or "the circuit breaker threshold was exceeded", service)
    ours = ours_of(watched, service)
    if ours is not None and ours.rollout_state == RolloutState.FAILED and not breaker.rollback:
        return _failed(ours.rollout_state_reason, service)
    return _in_progress(deployment, service)


def _is_requested(deployment: ServiceDeployment, history: History) -> bool:
    """Say whether somebody asked for this rollback: AWS showed it requested, or nothing else has happened.

    AWS's own reasons are the breaker, an alarm, a hook and its network settings
    (docs/aws-facts.md#service-deployment-states). For what is asked AWS shows ROLLBACK_REQUESTED for a moment
    (docs/aws-facts.md#stopping-a-deployment).
    """
    by_itself = (
        deployment.breaker_status == "TRIGGERED"
        or bool(deployment.triggered_alarms)
        or any(hook.rolls_back for hook in deployment.hooks)
    )
    if by_itself or history.rollback_asked:
        return not by_itself
    told = "rolled back because" in deployment.rollback_reason
    return not told and history.failed_since is None and not history.since_healthy


def _why(deployment: ServiceDeployment) -> str:
    """Return AWS's reason, with the alarms that went off where it does not name them."""
    reason = deployment.rollback_reason or deployment.status_reason
    unnamed = [name for name in deployment.triggered_alarms if name not in reason]
    alarms = f"alarm {', '.join(unnamed)} went off" if unnamed else ""
    return "; ".join(part for part in (reason.rstrip("."), alarms) if part)


def _in_progress(deployment: ServiceDeployment, service: Service) -> Waiting:
    """Return what an ongoing deployment does: its stage, its share of the traffic, a hook that waits.

    Source: pages "Amazon ECS blue/green deployments workflow" and "Lifecycle hooks for Amazon ECS service
    deployments". A PAUSE hook waits for ContinueServiceDeployment up to its expiry, then acts by itself.
    """
    hook = next(iter(deployment.awaited_hooks), None)
    stage = deployment.lifecycle_stage
    notes = []
    if hook is not None:
        notes.append(f"hook {hook.id} of stage {stage or 'unknown'} awaits an action")
    elif running := [each for each in deployment.hooks if each.status == "IN_PROGRESS"]:
        names = ", ".join(each.target_arn.rpartition(":")[2] or each.id for each in running)
        notes.append(f"the hook {names} of stage {stage or 'unknown'} runs")
    elif service.strategy in {"LINEAR", "CANARY"} and stage == "PRODUCTION_TRAFFIC_SHIFT":
        notes.append(f"{deployment.production_traffic or 0:g} % of production traffic goes to the new tasks")
    elif stage == "BAKE_TIME":
        alarms = f", alarms {', '.join(service.alarms)} are watched" if service.alarms else ""
        notes.append(f"bake time{alarms}")
    return Waiting(note="; ".join(notes), stage=stage, hook=hook)


def _stopped(
    watched: Watched, snapshot: Snapshot, deployment: ServiceDeployment, service: Service, history: History
) -> Verdict | Waiting:
    """Tell "superseded" from "failed without a rollback": both end as STOPPED (API reference, status).

    A newer deployment stopped ours, whatever became of it since; AWS's own event that ours failed outweighs
    it, for then the newer one came after.
    """
    ours, primary = ours_of(watched, service), service.primary
    requested = history.rollback_asked and _is_requested(deployment, history)
    if (
        history.failed_since is not None
        or deployment.breaker_status == "TRIGGERED"
        or deployment.triggered_alarms
        or _failed_event(watched, history)
    ):
        return _failed(_why(deployment) or history.failure_reason, service, requested=requested)
    if primary is not None and not is_ours(watched, primary) and primary.id not in watched.baseline:
        return _superseded(f"{primary.id} with {short_id(primary.task_definition)}")
    if snapshot.newer is not None:
        return _superseded(f"{short_id(snapshot.newer.arn)} ({snapshot.newer.status})")
    if ours is not None and ours.rollout_state == RolloutState.FAILED:
        return _failed(ours.rollout_state_reason, service)
    if deployment.status == ServiceDeploymentStatus.STOP_REQUESTED:
        return Waiting(note=sentence("AWS stops the deployment", deployment.status_reason))
    return _failed(deployment.status_reason or "the deployment was stopped", service, requested=requested)


def _failed_event(watched: Watched, history: History) -> bool:
    return any(says_failed(event, watched.deployment_id) for event in history.events)


def _by_classic_deployments(
    watched: Watched,
    snapshot: Snapshot,
    service: Service,
    history: History,
    *,
    now: float,
    facts: PhaseFacts | None,
) -> Verdict | Waiting:
    """Judge from `deployments[]` alone. A rollback's PRIMARY is an old id, a superseding one's is new.

    Until AWS has shown ours once, what it shows may be older than our update.
    """
    ours, primary = ours_of(watched, service), service.primary
    if primary is None:
        return Waiting(note="AWS shows no PRIMARY deployment")
    if is_ours(watched, primary):
        if primary.rollout_state == RolloutState.FAILED:
            return _failed_in_place(primary, service, history, now)
        if not snapshot.api_closed:
            return Waiting()
        if primary.rollout_state == RolloutState.COMPLETED:
            return confirmed(watched, snapshot, service, history, now=now, facts=facts)
        if primary.rollout_state is None and len(service.deployments) == 1:
            return confirmed(watched, snapshot, service, history, now=now, facts=facts)
        return Waiting()
    failed = _failed_event(watched, history)
    told = failed or _says_rolling_back(primary, history, service)
    older = primary.id in watched.baseline
    if older and not history.ours_seen and not told and now - watched.started_at < VANISHED_SECONDS:
        return Waiting(note="AWS does not show our deployment yet")
    if older or told:
        reason = history.failure_reason or primary.rollout_state_reason
        if primary.rollout_state == RolloutState.COMPLETED:
            return _rolled_back(watched, reason, service, is_primary=True)
        if primary.rollout_state == RolloutState.FAILED:
            return _rollback_failed(primary.rollout_state_reason, service)
        if failed and ours is None and not service.circuit_breaker.rollback:
            return _failed(history.failure_reason, service)
        return Waiting(note=sentence("AWS rolls back", reason), rolling_back=True)
    if history.failed_since is not None and not service.circuit_breaker.rollback:
        return _failed(history.failure_reason, service)
    if ours is None or history.foreign_since is not None:
        return _superseded(f"{primary.id} with {short_id(primary.task_definition)}")
    return Waiting()


def _failed_in_place(
    primary: Deployment, service: Service, history: History, now: float
) -> Verdict | Waiting:
    """Judge a FAILED deployment of ours that is still PRIMARY: final, unless a rollback just begins.

    With rollback on and nothing to go back to, the deployment is stalled for ever (page "How the Amazon ECS
    deployment circuit breaker detects failures": it "does not launch new tasks").
    """
    if not service.circuit_breaker.rollback:
        return _failed(primary.rollout_state_reason, service)
    if len(service.deployments) > 1 and now - (history.failed_since or now) < ROLLBACK_SECONDS:
        return Waiting(note=sentence("The deployment failed", primary.rollout_state_reason))
    return Verdict(
        outcome=Outcome.FAILED,
        reason=sentence("The deployment failed", primary.rollout_state_reason)
        + " No rollback candidate was found to run the rollback.",
        without_candidate=True,
    )


def _says_rolling_back(primary: Deployment, history: History, service: Service) -> bool:
    if "rolling back to deployment" in primary.rollout_state_reason:
        return True
    return any(says_rolling_back(event, primary.id) for event in (*history.events, *service.events[:20]))


def _failed(why: str, service: Service, *, requested: bool = False) -> Verdict:
    kept = (
        "" if service.circuit_breaker.rollback else " Rollback is off, so the failed revision stays in place."
    )
    reason = sentence("The deployment failed", why) + kept
    return Verdict(outcome=Outcome.FAILED, reason=reason, requested=requested)


def _rolled_back(
    watched: Watched,
    why: str,
    service: Service,
    *,
    requested: bool = False,
    is_primary: bool = False,
    ended: float | None = None,
) -> Verdict:
    """Return the end of a rollback: to what, why, and how much of it runs where that is not all.

    What is shown as running may already be a newer deployment, to which nobody rolled back, unless AWS says
    that PRIMARY is what it went back to (*is_primary*). *ended* is when, by AWS's clock: what began after it
    is newer, though a watch that came later still finds it there from the start.
    """
    primary = service.primary
    if primary is not None and not is_primary and _is_newer(watched, primary, ended):
        what = "AWS rolled the service back"
        rest = f" A newer deployment, {primary.id} with {short_id(primary.task_definition)}, has begun since."
    else:
        shown = primary.task_definition if primary is not None and not is_ours(watched, primary) else ""
        what = f"AWS rolled the service back to {short_id(shown or service.task_definition)}"
        rest = _missing(service)
    return Verdict(outcome=Outcome.ROLLED_BACK, reason=sentence(what, why) + rest, requested=requested)


def _is_newer(watched: Watched, primary: Deployment, ended: float | None) -> bool:
    if is_ours(watched, primary):
        return False
    after = ended is not None and primary.created_at is not None and primary.created_at > ended
    return after or primary.id not in watched.baseline


def _rollback_failed(why: str, service: Service | None = None) -> Verdict:
    missing = "" if service is None else _missing(service)
    reason = sentence("The rollout failed and so did its rollback", why) + missing
    return Verdict(outcome=Outcome.FAILED, reason=reason)


def _missing(service: Service) -> str:
    """Return what is to be said where fewer tasks run than are asked for, else ""."""
    if service.running_count >= service.desired_count:
        return ""
    return f" {service.running_count} of {service.desired_count} tasks run."


def _superseded(by: str) -> Verdict:
    return Verdict(outcome=Outcome.SUPERSEDED, reason=f"Another deployment, {by}, took the place of ours.")
