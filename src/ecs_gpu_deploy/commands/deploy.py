"""deploy: observe → render → check → register → update → watch → report."""

from __future__ import annotations

from ecs_gpu_deploy.core.definition.diff import diff_text
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.core.show.report import Details
from ecs_gpu_deploy.edges.machine.reporter import Reporter
from ecs_gpu_deploy.inputs.requests import DeployRequest
from ecs_gpu_deploy.model import Service, short_id
from ecs_gpu_deploy.result import Outcome
from ecs_gpu_deploy.steps.build_image import compare_layers, with_built_image
from ecs_gpu_deploy.steps.clean_up_revisions import clean_up_revisions
from ecs_gpu_deploy.steps.context import Context
from ecs_gpu_deploy.steps.deploy_several import deploy_several
from ecs_gpu_deploy.steps.follow_rollout import Plan, roll_out
from ecs_gpu_deploy.steps.register_revision import provenance_of_run, register_revision
from ecs_gpu_deploy.steps.render_revision import Rendering, render_revision
from ecs_gpu_deploy.steps.start_deployment import check_deployable, wait_for_others


def run(context: Context, request: DeployRequest) -> tuple[Verdict, Details]:
    """Deploy, and return the verdict. InvalidInput and Refused leave AWS as it was before UpdateService."""
    ecs, draft = context.ecs, context.draft
    if len(request.services) > 1:
        return deploy_several(context, request)

    service = draft.service = ecs.fetch_service(request.services[0])
    draft.previous_task_definition_arn = service.task_definition
    check_deployable(service, allow_desired_zero=request.rollout.allow_desired_zero)
    overrides = with_built_image(context, request, service)
    rendering = draft.rendering = render_revision(
        context.aws, ecs, service, request.source, overrides, pin=request.pin
    )
    draft.findings += rendering.findings
    to_pull = compare_layers(context, rendering, platform=request.platform)
    service = draft.service = wait_for_others(context, service, request)
    _show_plan(rendering, service, context.reporter)

    arn = draft.task_definition_arn = rendering.existing_arn or register_revision(
        context,
        rendering.definition,
        provenance_of_run(commit=request.commit, digest=rendering.image_digest),
    )
    plan = Plan(
        service=service,
        rendering=rendering,
        arn=arn,
        options=request.rollout,
        to_pull=to_pull,
        force_new_deployment=request.force_new_deployment,
    )
    verdict, details = roll_out(context, plan)
    if verdict.outcome == Outcome.SUCCEEDED:
        clean_up_revisions(
            context,
            request.keep_revisions,
            service=service.name,
            current=arn,
            previous=service.task_definition,
        )
    return verdict, details


def _show_plan(rendering: Rendering, service: Service, reporter: Reporter) -> None:
    reporter.say(
        f"service {service.name}: {short_id(service.task_definition)}, desired {service.desired_count}"
    )
    if rendering.changes:
        reporter.block(diff_text(rendering.changes), title="what changes in the task definition")
    else:
        reporter.say("the task definition stays the same: no new revision")
