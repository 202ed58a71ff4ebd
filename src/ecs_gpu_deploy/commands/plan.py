"""plan: what deploy or rollback would do, whether it fits, and what then comes. Changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.judge.phases import bake_of
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.core.past.ongoing import ongoing_classic
from ecs_gpu_deploy.core.past.revisions import TargetWish
from ecs_gpu_deploy.core.show.plan_view import plan_markdown, plan_sentence, plan_text
from ecs_gpu_deploy.core.text import count
from ecs_gpu_deploy.edges.aws.ecs import RawTaskDefinition
from ecs_gpu_deploy.edges.aws.revisions import revision_of
from ecs_gpu_deploy.facts import PlanMade, RolloutShown, Section, ServiceSeen
from ecs_gpu_deploy.inputs.requests import PlanRequest
from ecs_gpu_deploy.model import Service, short_id
from ecs_gpu_deploy.result import Finding, Outcome, Severity
from ecs_gpu_deploy.steps.choose_target import choose_target, fetch_past
from ecs_gpu_deploy.steps.foresee import foresee
from ecs_gpu_deploy.steps.render_revision import Rendering, render_revision, show_changes
from ecs_gpu_deploy.steps.render_target import render_target
from ecs_gpu_deploy.steps.start_deployment import check_deployable, check_fit, scaled
from ecs_gpu_deploy.steps.write_plan import findings_of, plan_of


def run(context: Context, request: PlanRequest) -> Verdict:
    """Foresee the rollout, show it, put it into the result; the verdict is as bad as fail-on makes it."""
    with context.aws.remembering():
        return _planned(context, request)


def _planned(context: Context, request: PlanRequest) -> Verdict:
    from ecs_gpu_deploy.steps.judge_settings import judge_settings  # noqa: PLC0415 (rules, JMESPath)

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
    foreseen = foresee(
        context,
        seen,
        rendering.definition,
        desired=service.desired_count,
        current=rendering.current,
        gpu_hourly_cost=request.gpu_hourly_cost,
    )
    durations, runs = foreseen.scene.durations, rendering.current
    is_up = seen.running_count >= seen.desired_count > 0
    wait = request.timeout + (0.0 if request.timeout_given else bake_of(seen) + seen.pause_seconds)
    settings = judge_settings(
        context,
        rendering.definition,
        service=seen.name,
        rules=request.rules,
        load_seconds=durations.load.seconds if durations.load.is_seen else None,
        wait_seconds=wait,
        desired_count=request.desired_count,
        command="deploy" if request.target is None else "rollback",
        proven=runs.body if runs and is_up else None,
    )
    plan = replace(
        plan_of(
            rendering,
            foreseen,
            cluster=request.cluster or "default",
            force=True,
            desired_count=request.desired_count,
            wait=wait,
        ),
        checks=settings.checks,
    )
    context.record(PlanMade(plan=plan))
    context.reporter.show(plan_text(plan))
    context.record(Section(title="Plan", text=plan_markdown(plan)))
    findings = (*findings_of(plan), *settings.findings)
    for finding in findings:
        context.record(finding)
    sentence = f"{plan_sentence(plan, service=service.name)}{_wrong(settings.findings)}"
    return Verdict(outcome=_outcome(request, findings), reason=sentence)


def _wrong(findings: Sequence[Finding]) -> str:
    """Return how much is wrong with the settings, as a further sentence; "" for nothing."""
    errors = sum(each.severity is Severity.ERROR for each in findings)
    return f" Its settings have {count(errors, 'error')}." if errors else ""


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


def _outcome(request: PlanRequest, findings: Sequence[Finding]) -> Outcome:
    """Return how the plan ends: what would not fit as no capacity, other findings as bad input."""
    counted = {"error": {Severity.ERROR}, "warning": {Severity.ERROR, Severity.WARNING}, "never": set()}
    bad = [each for each in findings if each.severity in counted[request.fail_on]]
    if not bad:
        return Outcome.SUCCEEDED
    return Outcome.NO_CAPACITY if any(each.code == "no-capacity" for each in bad) else Outcome.INVALID
