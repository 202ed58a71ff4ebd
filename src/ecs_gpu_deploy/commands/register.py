"""register: a task definition with its image and other changes, registered unless it is there."""

from __future__ import annotations

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.inputs.requests import RegisterRequest
from ecs_gpu_deploy.model import short_id
from ecs_gpu_deploy.result import Outcome
from ecs_gpu_deploy.steps.register_revision import register_rendering
from ecs_gpu_deploy.steps.render_alone import render_alone


def run(context: Context, request: RegisterRequest) -> Verdict:
    """Register, and return the verdict. InvalidInput and Refused leave AWS as it was."""
    rendering, service = render_alone(context, request)
    registered = register_rendering(context, rendering, commit=request.commit)
    did = "is registered" if registered.is_new else "was registered already, and says the same"
    runs = f"; {service.name} goes on to run {short_id(service.task_definition)}" if service else ""
    return Verdict(outcome=Outcome.SUCCEEDED, reason=f"{short_id(registered.arn)} {did}{runs}.")
