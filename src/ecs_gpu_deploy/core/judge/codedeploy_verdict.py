"""The verdict over a deployment of CodeDeploy's: by its own status, and by what the tasks show.

The deployment is ours by its id, and its replacement task set by the label that CodeDeploy gives it, or by
the externalId that ECS shows (API Reference, TaskSet): never because the service looks stable. CodeDeploy
calls a deployment Succeeded after the original task set is gone (docs/aws-facts.md#codedeploy), and
all-at-once it may do so over tasks that fail their checks ("Troubleshoot Amazon ECS deployment issues"): so a
success is confirmed as every other one is.
"""

from __future__ import annotations

from ecs_gpu_deploy.core.definition.appspec import hook_in
from ecs_gpu_deploy.core.judge.codedeploy import (
    READY_WAIT,
    TERMINATION_WAIT,
    CodeDeployState,
    CodeDeployStatus,
    continue_command,
)
from ecs_gpu_deploy.core.judge.confirm import confirmed
from ecs_gpu_deploy.core.judge.evidence import SETTLE_SECONDS
from ecs_gpu_deploy.core.judge.observed import History, Snapshot, Watched, is_ours
from ecs_gpu_deploy.core.judge.phases import PhaseFacts
from ecs_gpu_deploy.core.judge.verdict import Verdict, Waiting, sentence, spoken_span
from ecs_gpu_deploy.model import Service, short_id
from ecs_gpu_deploy.result import Outcome


def by_codedeploy(
    watched: Watched,
    snapshot: Snapshot,
    service: Service,
    history: History,
    *,
    now: float,
    facts: PhaseFacts | None,
) -> Verdict | Waiting:
    """Return what CodeDeploy's own answers say; a status that we do not know is waited on."""
    state = snapshot.codedeploy
    if state is None:
        return Waiting(note="CodeDeploy does not show the deployment just now")
    match state.deployment.status:
        case CodeDeployStatus.SUCCEEDED:
            return confirmed(watched, snapshot, service, history, now=now, facts=facts)
        case CodeDeployStatus.FAILED | CodeDeployStatus.STOPPED:
            return _ended(watched, state, service, history, now)
    return Waiting(note=_doing(state), stage=state.stage)


def _ended(
    watched: Watched, state: CodeDeployState, service: Service, history: History, now: float
) -> Verdict | Waiting:
    """Judge a deployment that failed or was stopped: it may still go back, with a deployment of its own."""
    ours, back = state.deployment, state.rollback
    why = state.reason or ("somebody stopped it" if ours.is_stopped_by_person else "")
    if not ours.rollback_id:
        # Who stops it may ask for a rollback that the group does not have (StopDeployment).
        may = ours.goes_back_by_itself or ours.is_stopped_by_person
        if may and _since_end(state, history, now) < SETTLE_SECONDS:
            return Waiting(note=sentence("The deployment ended", why), rolling_back=True)
        return Verdict(
            outcome=Outcome.FAILED,
            reason=f"{sentence(_what(state), why)} CodeDeploy began no rollback. {_runs(watched, service)}",
            requested=ours.is_stopped_by_person,
        )
    if back is None or not back.status.is_over:
        return Waiting(
            note=sentence(f"CodeDeploy rolls back with {ours.rollback_id}", why), rolling_back=True
        )
    if back.status == CodeDeployStatus.SUCCEEDED:
        primary = service.primary
        shown = primary.task_definition if primary is not None and not is_ours(watched, primary) else ""
        to = short_id(shown or back.task_definition or service.task_definition)
        return Verdict(
            outcome=Outcome.ROLLED_BACK,
            reason=sentence(f"CodeDeploy rolled the service back to {to}", why),
            requested=ours.is_stopped_by_person,
        )
    return Verdict(
        outcome=Outcome.FAILED,
        reason=sentence(
            "The rollout failed and so did its rollback",
            "; ".join(part for part in (why, f"{back.id}: {back.error_message or back.status}") if part),
        )
        + f" {_runs(watched, service)}",
    )


def _what(state: CodeDeployState) -> str:
    return (
        "The deployment was stopped"
        if state.deployment.status == CodeDeployStatus.STOPPED
        else ("The deployment failed")
    )


def _since_end(state: CodeDeployState, history: History, now: float) -> float:
    """Return for how long it is over, by AWS's clock as far as that is known."""
    ended = state.deployment.completed_at
    return 0.0 if ended is None else now + (history.offset or 0.0) - ended


def _runs(watched: Watched, service: Service) -> str:
    """Return what production traffic goes to: the primary task set, whose it is."""
    primary = service.primary
    if primary is None:
        return "AWS shows no primary task set."
    whose = "the new revision" if is_ours(watched, primary) else "what ran before"
    return f"Production traffic goes to {short_id(primary.task_definition)}, {whose}."


def _doing(state: CodeDeployState) -> str:
    """Return what CodeDeploy does where that is more than the phase tells."""
    ours, stage, traffic = state.deployment, state.stage, state.target.traffic
    if stage == READY_WAIT:
        left = f" within {spoken_span(ours.ready_wait)}" if ours.ready_wait else ""
        then = ", or CodeDeploy stops it" if ours.waits_for_person else ""
        what = f"it waits for a person to send the traffic to the new tasks{left}{then}"
        return f"{what}: {continue_command(ours.id)}"
    if stage == TERMINATION_WAIT:
        wait = f" for {spoken_span(ours.termination_wait)}" if ours.termination_wait else ""
        return f"all traffic goes to the new tasks; CodeDeploy keeps the original ones{wait}"
    if stage == "AllowTraffic" and traffic is not None and 0 < traffic < 100:
        return f"{traffic:g} % of production traffic goes to the new tasks"
    if hook := hook_in(ours.appspec, stage) if stage else "":
        return f"the hook {hook.rpartition(':')[2]} of {stage} runs"
    return ""
