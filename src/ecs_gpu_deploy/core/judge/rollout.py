"""The verdict of a rollout: judge(watched, snapshot, history, now) → Verdict, or Waiting.

Identity comes first: the deployment is ours by its id, never because "the service looks stable"
(docs/aws-facts.md#deployment-identity). With the service-deployment API its status decides (page "View
service history using Amazon ECS service deployments"); where that API is closed to us the classic
`deployments[]` do. Everything here is a function of what was seen and of the time passed in.
"""

from __future__ import annotations

import math

from ecs_gpu_deploy.core.judge.early_verdicts import called_by_us, timed_out
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
from ecs_gpu_deploy.core.judge.verdict import Verdict, Waiting, sentence
from ecs_gpu_deploy.model import Deployment, RolloutState, Service, ServiceDeployment, ServiceDeploymentStatus
from ecs_gpu_deploy.result import Outcome

__all__ = [
    "SETTLE_SECONDS",
    "History",
    "Snapshot",
    "Verdict",
    "Waiting",
    "Watched",
    "history_at_start",
    "judge",
    "observed",
]

SETTLE_SECONDS = 60.0
"""How long AWS may take until all its views show the same: counts, digests, the list of deployments."""
ROLLBACK_SECONDS = 20.0
"""How long a FAILED PRIMARY may be the first half of a rollback, where rollback is on."""


def judge(
    watched: Watched, snapshot: Snapshot, history: History, now: float, facts: PhaseFacts | None = None
) -> Verdict | Waiting:
    """Return AWS's verdict on *watched*, ours where AWS will give none in time, or Waiting.

    *facts* carries the deadlines that somebody set for a phase; without it none was set.
    """
    service = snapshot.service
    if service is None or service.status in {"INACTIVE", "DRAINING"}:
        return Verdict(outcome=Outcome.FAILED, reason="The service was deleted during the rollout.")
    verdict: Verdict | Waiting
    if snapshot.stale:
        verdict = Waiting(note="AWS does not show the service just now")
    elif snapshot.deployment is not None:
        verdict = _by_service_deployment(watched, snapshot.deployment, service, history, now)
    else:
        verdict = _by_classic_deployments(watched, service, history, now, closed=snapshot.api_closed)
    if isinstance(verdict, Waiting) and not verdict.rolling_back:
        verdict = called_by_us(watched, service, history, now, facts) or verdict
    if isinstance(verdict, Waiting) and now - watched.started_at >= watched.timeout:
        return timed_out(watched, service, history, verdict)
    return verdict


def _by_service_deployment(
    watched: Watched, deployment: ServiceDeployment, service: Service, history: History, now: float
) -> Verdict | Waiting:
    """Judge by the status of our service deployment; a status that we do not know is waited on.

    Source: ServiceDeployment in the Amazon ECS API Reference; docs/aws-facts.md#service-deployment-states.
    """
    status = ServiceDeploymentStatus
    match deployment.status:
        case status.SUCCESSFUL:
            return _confirmed(watched, service, history, now)
        case status.ROLLBACK_SUCCESSFUL:
            return _rolled_back(_why(deployment), service)
        case status.ROLLBACK_FAILED:
            return Verdict(
                outcome=Outcome.FAILED,
                reason=sentence("The rollout failed and so did its rollback", deployment.status_reason),
            )
        case status.STOPPED | status.STOP_REQUESTED:
            return _stopped(watched, deployment, service, history)
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
    hook = next((each for each in deployment.hooks if each.awaits_action), None)
    stage = deployment.lifecycle_stage
    notes = []
    if hook is not None:
        notes.append(f"hook {hook.id} of stage {stage or 'unknown'} awaits an action")
    elif service.strategy in {"LINEAR", "CANARY"} and stage == "PRODUCTION_TRAFFIC_SHIFT":
        notes.append(f"{deployment.production_traffic or 0:g} % of production traffic goes to the new tasks")
    elif stage == "BAKE_TIME":
        alarms = f", alarms {', '.join(service.alarms)} are watched" if service.alarms else ""
        notes.append(f"bake time{alarms}")
    return Waiting(note="; ".join(notes), stage=stage, hook=hook)


def _stopped(
    watched: Watched, deployment: ServiceDeployment, service: Service, history: History
) -> Verdict | Waiting:
    """Tell "superseded" from "failed without a rollback": both end as STOPPED.

    Source: docs/aws-facts.md#service-deployment-states.
    """
    ours, primary = ours_of(watched, service), service.primary
    if (
        history.failed_since is not None
        or deployment.breaker_status == "TRIGGERED"
        or deployment.triggered_alarms
    ):
        return _failed(_why(deployment) or history.failure_reason, service)
    if primary is not None and not is_ours(watched, primary) and primary.id not in watched.baseline:
        return _superseded(primary)
    if ours is not None and ours.rollout_state == RolloutState.FAILED:
        return _failed(ours.rollout_state_reason, service)
    if deployment.status == ServiceDeploymentStatus.STOP_REQUESTED:
        return Waiting(note=sentence("AWS stops the deployment", deployment.status_reason))
    return _failed(deployment.status_reason or "the deployment was stopped", service)


def _by_classic_deployments(
    watched: Watched, service: Service, history: History, now: float, *, closed: bool
) -> Verdict | Waiting:
    """Judge from `deployments[]` alone. A rollback's PRIMARY is an old id, a superseding one's is new."""
    ours, primary = ours_of(watched, service), service.primary
    if primary is None:
        return Waiting(note="AWS shows no PRIMARY deployment")
    if is_ours(watched, primary):
        if primary.rollout_state == RolloutState.FAILED:
            return _failed_in_place(primary, service, history, now)
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
                reason=sentence("The rollout failed and so did its rollback", primary.rollout_state_reason),
            )
        return Waiting(note=sentence("AWS rolls back", reason), rolling_back=True)
    if history.failed_since is not None and not service.circuit_breaker.rollback:
        return _failed(history.failure_reason, service)
    if ours is None or history.foreign_since is not None:
        return _superseded(primary)
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
    ending = f"rolling back to deployment {primary.id}"
    return any(ending in event.message for event in (*history.events, *service.events[:20]))


def _confirmed(watched: Watched, service: Service, history: History, now: float) -> Verdict | Waiting:
    """Check that what AWS calls finished is what we asked for: ours, running, with the pushed digest.

    SUCCESSFUL alone is not that: it can come with a desired count of 0, and under early success criteria
    before all tasks run (docs/aws-facts.md#early-success).
    """
    primary = service.primary
    if primary is not None and not is_ours(watched, primary):
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


def _failed(why: str, service: Service) -> Verdict:
    kept = (
        "" if service.circuit_breaker.rollback else " Rollback is off, so the failed revision stays in place."
    )
    return Verdict(outcome=Outcome.FAILED, reason=sentence("The deployment failed", why) + kept)


def _rolled_back(why: str, service: Service) -> Verdict:
    to = service.task_definition.rsplit("/", 1)[-1]
    return Verdict(
        outcome=Outcome.ROLLED_BACK,
        reason=sentence(f"AWS rolled the service back to {to}", why),
    )


def _superseded(primary: Deployment) -> Verdict:
    definition = primary.task_definition.rsplit("/", 1)[-1]
    return Verdict(
        outcome=Outcome.SUPERSEDED,
        reason=f"Another deployment, {primary.id} with {definition}, took the place of ours.",
    )
