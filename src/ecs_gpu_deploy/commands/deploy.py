"""deploy: observe → render → register → update → watch → report."""

from __future__ import annotations

from dataclasses import replace

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.definition.service_settings import ServiceSettings
from ecs_gpu_deploy.core.judge.deployment_settings import settings_changed
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.edges.machine.reporter import Reporter
from ecs_gpu_deploy.facts import ServiceSeen
from ecs_gpu_deploy.inputs.requests import DeployRequest
from ecs_gpu_deploy.model import Service, short_id
from ecs_gpu_deploy.result import Finding, Outcome, Severity
from ecs_gpu_deploy.steps.attach_rollout import left_under_way, watch_under_way
from ecs_gpu_deploy.steps.clean_up_revisions import clean_up_revisions
from ecs_gpu_deploy.steps.compare_layers import compare_layers
from ecs_gpu_deploy.steps.deploy_several import deploy_several
from ecs_gpu_deploy.steps.follow_rollout import Plan, record_of_again, roll_out, verdict_of
from ecs_gpu_deploy.steps.image_of_deploy import with_built_image
from ecs_gpu_deploy.steps.move_tags import move_tags_after
from ecs_gpu_deploy.steps.preflight import preflight
from ecs_gpu_deploy.steps.record_deployment import begin_record, deployed_by
from ecs_gpu_deploy.steps.register_revision import register_rendering
from ecs_gpu_deploy.steps.render_revision import Rendering, render_revision, show_changes
from ecs_gpu_deploy.steps.run_before import plan_before, run_before
from ecs_gpu_deploy.steps.see_address import see_address
from ecs_gpu_deploy.steps.start_codedeploy import blue_green_of, check_not_scaled
from ecs_gpu_deploy.steps.start_deployment import (
    as_wished,
    check_alarms,
    check_deployable,
    check_fit,
    check_settings,
    check_stage,
    under_way,
    wait_for_others,
)
from ecs_gpu_deploy.steps.verify_attestation import verify_attestations

_NOT_RUN_BEFORE = Finding(
    code="before-task-not-run",
    severity=Severity.WARNING,
    message="The task before the deployment was not run now: this rollout was under way already.",
    hint="If no run before this one ran it, run it with run-task.",
)
_NOT_SENT = Finding(
    code="service-settings-not-sent",
    severity=Severity.WARNING,
    message="What was to be set in the service was not sent now: this rollout was under way already.",
    hint="If no run before this one sent it, deploy again once the rollout has ended.",
)


def run(context: Context, request: DeployRequest) -> Verdict:
    """Deploy, and return the verdict. InvalidInput and Refused leave AWS as it was before UpdateService."""
    if len(request.services) > 1:
        return deploy_several(context, request)

    seen = context.ecs.fetch_service(request.services[0])
    service = as_wished(seen, request)
    context.record(ServiceSeen(name=service.name, previous=service.task_definition))
    check_deployable(service, allow_desired_zero=request.rollout.allow_desired_zero)
    check_stage(service, request.rollout.until)
    check_alarms(context, service, request)
    blue_green = blue_green_of(context, request.codedeploy, service)
    check_not_scaled(blue_green, seen, request.desired_count)
    image = with_built_image(context, request, [service])
    rendering = render_revision(context, request.revision, image.overrides, runs=service.task_definition)
    check_fit(rendering.definition, service)
    check_settings(context, request.service_settings, rendering.definition, service)
    if blue_green is not None:
        blue_green.check_fit(rendering.definition)
    verify_attestations(context, request.signer, rendering)
    to_pull = compare_layers(context, rendering, platform=request.platform)
    changes_service = service != seen
    group = blue_green.group if blue_green is not None else None
    if (
        request.ongoing == "refuse"
        and not changes_service
        and (ours := under_way(context, service, rendering, group))
    ):
        if request.before_task:
            context.record(_NOT_RUN_BEFORE)
        if request.service_settings != ServiceSettings():
            context.record(_NOT_SENT)
        if not request.waits:
            return left_under_way(context, service, ours)
        verdict = watch_under_way(context, request.rollout, service, ours)
        move_tags_after(context, image.built, verdict)
        return see_address(context, service, verdict)
    seen = wait_for_others(context, seen, request, group)
    service = as_wished(seen, request)
    _show_plan(rendering, service, context.reporter)

    plan = Plan(
        service=service,
        arn=rendering.existing_arn,
        definition=rendering.definition,
        options=request.rollout,
        changes=rendering.changes,
        digests=rendering.digests,
        to_pull=to_pull,
        force_new_deployment=request.force_new_deployment,
        desired_count=request.desired_count,
        scaled_from=seen.desired_count,
        settings=settings_changed(seen, service),
        waits=request.waits,
        blue_green=blue_green,
        service_settings=request.service_settings,
    )
    untouched = "Nothing was changed." if image.built is None else "The service was not changed."
    ahead = preflight(
        context, request.preflight, plan, seen, rendering, command="deploy", untouched=untouched
    )
    if isinstance(ahead, Verdict):
        return ahead
    before = plan_before(context, request, service, rendering.definition)
    registered = register_rendering(context, rendering, commit=request.commit)
    arn = registered.arn
    if before is not None and (ended := run_before(context, before, rendering.definition, arn)):
        return ended
    if before is not None:
        seen = context.ecs.fetch_service(service.name)
        seen = wait_for_others(context, seen, request, group)
        service = as_wished(seen, request)
    plan = replace(
        plan,
        service=service,
        arn=arn,
        scaled_from=seen.desired_count,
        settings=settings_changed(seen, service),
        record=None if registered.is_new else record_of_again(service, arn),
        predicted=ahead.plan.predicted if ahead is not None else None,
    )
    begin_record(context, request.record_in, deployed_by(request, rendering, arn, [service.name]))
    verdict = verdict_of(roll_out(context, plan))
    move_tags_after(context, image.built, verdict)
    if verdict.outcome == Outcome.SUCCEEDED:
        clean_up_revisions(context, [plan], keep=request.keep_revisions)
    return see_address(context, service, verdict)


def _show_plan(rendering: Rendering, service: Service, reporter: Reporter) -> None:
    reporter.say(
        f"service {service.name}: {short_id(service.task_definition)}, desired {service.desired_count}"
    )
    show_changes(reporter, rendering)
