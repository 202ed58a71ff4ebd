"""rollback: find the target → check that it can run → update (or stop what is ongoing) → watch → report."""

from __future__ import annotations

from dataclasses import replace

from ecs_gpu_deploy.core.definition.provenance import tag_value
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.core.text import markdown, table_code
from ecs_gpu_deploy.edges.aws.revisions import tag_revision
from ecs_gpu_deploy.edges.machine.signals import held_signals
from ecs_gpu_deploy.errors import Refused
from ecs_gpu_deploy.inputs.requests import RollbackRequest
from ecs_gpu_deploy.model import RolloutState, Service, short_id
from ecs_gpu_deploy.result import Finding, Outcome, Severity
from ecs_gpu_deploy.steps.choose_target import Chosen, Past, choose_target, fetch_past
from ecs_gpu_deploy.steps.clean_up_revisions import clean_up_revisions
from ecs_gpu_deploy.steps.context import Context
from ecs_gpu_deploy.steps.facts import RevisionChosen, Section, ServiceSeen
from ecs_gpu_deploy.steps.follow_rollout import Plan, roll_out
from ecs_gpu_deploy.steps.register_revision import provenance_of_run
from ecs_gpu_deploy.steps.render_target import register_target, render_target
from ecs_gpu_deploy.steps.start_deployment import check_deployable
from ecs_gpu_deploy.steps.stop_deployment import rolls_back_to, stop_and_watch


def run(context: Context, request: RollbackRequest) -> Verdict:
    """Roll back, and return the verdict. Nothing changes before the target is known to be able to run."""
    service = context.ecs.fetch_service(request.service)
    context.record(ServiceSeen(name=service.name, previous=service.task_definition))
    check_deployable(service, allow_desired_zero=request.rollout.allow_desired_zero)
    past = fetch_past(context, service, request.target)
    chosen = choose_target(context, service, request.target, past)
    context.reporter.say(f"target: {short_id(chosen.name)} ({chosen.how})")
    if chosen.name.startswith("arn:"):
        context.record(RevisionChosen(arn=chosen.name))

    ongoing = past.ongoing
    if ongoing is not None and rolls_back_to(context, ongoing, chosen.name):
        context.record(_section(service, chosen.name, chosen, request.reason))
        verdict = stop_and_watch(context, request.rollout, service, ongoing, chosen)
        return _told(verdict, service, chosen.name)
    if not request.supersede:
        _refuse_others(service, past, chosen)
    if ongoing is None and _runs(service, chosen) and not request.force:
        return Verdict(
            outcome=Outcome.SUCCEEDED,
            reason=f"The service runs {short_id(chosen.name)} already: nothing was changed.",
        )

    target = render_target(context, service, chosen, past)
    arn = register_target(context, target, reason=request.reason)
    context.record(_section(service, arn, chosen, request.reason))
    plan = Plan(service=service, rendering=target.rendering, arn=arn, options=request.rollout, urgent=True)
    verdict = roll_out(context, plan)
    if request.reason:
        with held_signals():
            _tag_reason(context, request.reason, plan)
    if verdict.outcome == Outcome.SUCCEEDED:
        clean_up_revisions(context, plan, keep=request.keep_revisions)
    return _told(verdict, service, arn, target.rendering.image_digest)


def _runs(service: Service, chosen: Chosen) -> bool:
    """Say whether the service runs the target already, and not only was to."""
    primary = service.primary
    failed = primary is not None and primary.rollout_state == RolloutState.FAILED
    return short_id(chosen.name) == short_id(service.task_definition) and not failed


def _refuse_others(service: Service, past: Past, chosen: Chosen) -> None:
    """Refuse to go over another deployment; where AWS lists none, the classic deployments tell of it."""
    ongoing = past.ongoing
    if ongoing is not None:
        raise Refused(
            f"Another deployment of the service {service.name!r} is ongoing "
            f"({short_id(ongoing.task_definition)}, {ongoing.status}), and it did not begin from "
            f"{short_id(chosen.name)}.",
            hint="Wait for its end, or set supersede to true.",
        )
    states = {deployment.rollout_state for deployment in service.deployments}
    if past.rollouts is None and RolloutState.IN_PROGRESS in states:
        raise Refused(
            f"Another deployment of the service {service.name!r} is ongoing.",
            hint="Wait for its end, or set supersede to true.",
        )


def _tag_reason(context: Context, reason: str, plan: Plan) -> None:
    run = provenance_of_run()
    about = {
        "reason": tag_value(reason),
        "rolled-back-from": tag_value(short_id(plan.service.task_definition)),
        "rolled-back-by": tag_value(run.actor),
    }
    if not tag_revision(context.aws, plan.arn, about):
        context.record(
            Finding(
                code="no-provenance",
                severity=Severity.INFO,
                message="The reason does not stand in the revision's tags: ecs:TagResource is denied.",
            )
        )


def _section(service: Service, arn: str, chosen: Chosen, reason: str) -> Section:
    """Return the summary's part on from where and to what is rolled back, and why."""
    rows = [("From", table_code(short_id(service.task_definition))), ("To", table_code(short_id(arn)))]
    rows += [("Chosen", markdown(chosen.how))]
    if reason:
        rows.append(("Reason", markdown(reason)))
    table = "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])
    return Section(title="Rollback", text=table)


def _told(verdict: Verdict, service: Service, arn: str, digest: str = "") -> Verdict:
    """Say in the verdict from where and to what was rolled back."""
    if verdict.outcome != Outcome.SUCCEEDED:
        return verdict
    back = f"{short_id(service.task_definition)} → {short_id(arn)}"
    what = f" ({digest[:19]}…)" if digest else ""
    return replace(verdict, reason=f"Rolled back, {back}{what}. {verdict.reason}")
