"""deploy: observe → render → check → register → update → watch → report."""

from __future__ import annotations

from ecs_gpu_deploy.core.definition.diff import diff_text
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.core.show.report import Details
from ecs_gpu_deploy.edges.machine.reporter import Reporter
from ecs_gpu_deploy.inputs.settings import Settings, required
from ecs_gpu_deploy.model import Service, short_id
from ecs_gpu_deploy.result import Outcome
from ecs_gpu_deploy.steps.build_image import check_build, layers_to_pull, wants_build, with_built_image
from ecs_gpu_deploy.steps.clean_up_revisions import clean_up
from ecs_gpu_deploy.steps.context import Context
from ecs_gpu_deploy.steps.deploy_several import deploy_several
from ecs_gpu_deploy.steps.follow_rollout import roll_out
from ecs_gpu_deploy.steps.register_revision import provenance_of_run, registered
from ecs_gpu_deploy.steps.render_revision import Rendering, overrides_from, read_source, rendering_of
from ecs_gpu_deploy.steps.start_deployment import check_deployable, without_others


def check(settings: Settings) -> None:
    """Raise InvalidInput for what can be known to be wrong without AWS."""
    required(settings, "cluster", "service")
    overrides_from(settings)
    read_source(settings)
    if wants_build(settings):
        check_build(settings)


def run(context: Context) -> tuple[Verdict, Details]:
    """Deploy, and return the verdict. InvalidInput and Refused leave AWS as it was before UpdateService."""
    ecs, settings, draft = context.ecs, context.settings, context.draft
    if len(settings.services) > 1:
        return deploy_several(context)

    service = draft.service = ecs.fetch_service(settings.service)
    draft.previous_task_definition_arn = service.task_definition
    check_deployable(service, settings)
    settings = with_built_image(context, service)
    rendering = draft.rendering = rendering_of(context.aws, ecs, settings, service)
    draft.findings += rendering.findings
    draft.to_pull = layers_to_pull(context, rendering)
    service = draft.service = without_others(context, service)
    _show_plan(rendering, service, context.reporter)

    arn = draft.task_definition_arn = rendering.existing_arn or registered(
        context, rendering.definition, provenance_of_run(context, digest=rendering.image_digest)
    )
    verdict, details = roll_out(context, service, rendering, arn)
    if verdict.outcome == Outcome.SUCCEEDED:
        clean_up(context, arn, service.task_definition)
    return verdict, details


def _show_plan(rendering: Rendering, service: Service, reporter: Reporter) -> None:
    reporter.say(
        f"service {service.name}: {short_id(service.task_definition)}, desired {service.desired_count}"
    )
    if rendering.changes:
        reporter.block(diff_text(rendering.changes), title="what changes in the task definition")
    else:
        reporter.say("the task definition stays the same: no new revision")
