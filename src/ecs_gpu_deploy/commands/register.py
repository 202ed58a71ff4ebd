"""register: a task definition with its image and other changes, registered unless it is there."""

from __future__ import annotations

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.facts import RolloutShown, ServiceSeen
from ecs_gpu_deploy.inputs.requests import RegisterRequest
from ecs_gpu_deploy.model import short_id
from ecs_gpu_deploy.result import Outcome
from ecs_gpu_deploy.steps.register_revision import register_rendering
from ecs_gpu_deploy.steps.render_revision import render_revision, show_changes
from ecs_gpu_deploy.steps.start_deployment import check_fit


def run(context: Context, request: RegisterRequest) -> Verdict:
    """Register, and return the verdict. InvalidInput and Refused leave AWS as it was."""
    service = context.ecs.fetch_service(request.service) if request.service else None
    if service is not None:
        context.record(ServiceSeen(name=service.name, previous=service.task_definition))
    rendering = render_revision(
        context,
        request.revision,
        request.revision.overrides,
        runs=service.task_definition if service else "",
    )
    if service is not None:
        check_fit(rendering.definition, service)
    show_changes(context.reporter, rendering)
    context.record(RolloutShown(changes=rendering.changes, links={}))

    registered = register_rendering(context, rendering, commit=request.commit)
    did = "is registered" if registered.is_new else "was registered already, and says the same"
    runs = f"; {service.name} goes on to run {short_id(service.task_definition)}" if service else ""
    return Verdict(outcome=Outcome.SUCCEEDED, reason=f"{short_id(registered.arn)} {did}{runs}.")
