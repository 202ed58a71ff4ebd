"""plan: what deploy or rollback would do, whether it fits, and what then comes. Changes nothing."""

from __future__ import annotations

from dataclasses import replace

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.definition.service_update import ServiceUpdate
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.core.past.ongoing import ongoing_classic
from ecs_gpu_deploy.core.past.revisions import TargetWish
from ecs_gpu_deploy.core.show.plan_view import plan_markdown, plan_text
from ecs_gpu_deploy.edges.aws.ecs import RawTaskDefinition
from ecs_gpu_deploy.edges.aws.revisions import revision_of
from ecs_gpu_deploy.facts import Fact, PlanMade, RolloutShown, Section, ServiceSeen
from ecs_gpu_deploy.inputs.requests import PlanRequest
from ecs_gpu_deploy.model import Service, short_id
from ecs_gpu_deploy.result import Finding, Severity
from ecs_gpu_deploy.steps.choose_target import choose_target, fetch_past
from ecs_gpu_deploy.steps.look_ahead import LookedAhead, look_ahead
from ecs_gpu_deploy.steps.render_revision import Rendering, render_revision, show_changes
from ecs_gpu_deploy.steps.render_target import render_target
from ecs_gpu_deploy.steps.start_deployment import check_deployable, check_fit, scaled


def run(context: Context, request: PlanRequest) -> Verdict:
    """Foresee the rollout, show it, put it into the result; the verdict is as bad as fail-on makes it."""
    said: list[Finding] = []

    def record(fact: Fact) -> None:
        context.record(fact)
        if isinstance(fact, Finding):
            said.append(fact)

    with context.aws.remembering():
        ahead = _planned(replace(context, record=record), request)
    # What could not be seen on the way was recorded there.
    outcome = replace(ahead, findings=tuple(said)).outcome(request.fail_on)
    return Verdict(outcome=outcome, reason=f"{ahead.sentence} Nothing was changed.")


def _planned(context: Context, request: PlanRequest) -> LookedAhead:
    seen = context.ecs.fetch_service(request.service)
    service = scaled(seen, request.desired_count)
    context.record(ServiceSeen(name=service.name, previous=service.task_definition))
    check_deployable(service, allow_desired_zero=True)
    rendering = _rendering(context, request, service)
    check_fit(rendering.definition, service)
    show_changes(context.reporter, rendering)
    if ongoing := ongoing_classic(request.cluster or "default", seen):
        context.record(
            Finding(
                code="deployment-ongoing",
                severity=Severity.WARNING,
                message=f"Another deployment is ongoing ({ongoing.told(context.clock.now())}): a deployment "
                "is refused until its end, and what is foreseen here begins with what runs now.",
                hint="Plan again once it has ended.",
            )
        )
    context.record(RolloutShown(changes=rendering.changes, links={}))
    ahead = look_ahead(
        context,
        seen,
        rendering,
        ServiceUpdate(
            service=seen.name,
            task_definition=rendering.existing_arn,
            desired_count=request.desired_count,
        ),
        command="deploy" if request.target is None else "rollback",
        wait=request.wait,
        foresight=request.foresight,
    )
    context.record(PlanMade(plan=ahead.plan))
    context.reporter.show(plan_text(ahead.plan))
    context.record(Section(title="Plan", text=plan_markdown(ahead.plan)))
    for finding in ahead.findings:
        context.record(finding)
    return ahead


def _rendering(context: Context, request: PlanRequest, service: Service) -> Rendering:
    """Return what would run: a new revision as deploy renders it, or the target of a rollback."""
    if request.target is None:
        return render_revision(
            context, request.revision, request.revision.overrides, runs=service.task_definition
        )
    current = context.ecs.fetch_task_definition(service.task_definition)
    return replace(_target(context, request.target, service, current), current=current)


def _target(context: Context, target: TargetWish, service: Service, current: RawTaskDefinition) -> Rendering:
    past = fetch_past(context, service, revision_of(current), target)
    chosen = choose_target(context, service, revision_of(current), target, past)
    context.reporter.say(f"target: {short_id(chosen.name)} ({chosen.how})")
    return render_target(context, service, current, chosen, past).rendering
