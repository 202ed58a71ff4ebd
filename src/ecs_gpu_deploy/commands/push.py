"""push: build the image and push it to ECR, unless it is there."""

from __future__ import annotations

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.inputs.requests import PushRequest
from ecs_gpu_deploy.result import Finding, Outcome, Severity
from ecs_gpu_deploy.steps.build_image import build_image
from ecs_gpu_deploy.steps.image_of_deploy import starts_nothing
from ecs_gpu_deploy.steps.move_tags import move_tags


def run(context: Context, request: PushRequest) -> Verdict:
    """Push, and return the verdict; a refusal or a build that fails is raised."""
    built = build_image(context, request.build)
    if built.config is not None and starts_nothing(built.config):
        context.record(
            Finding(
                code="image-without-command",
                severity=Severity.WARNING,
                message=f"The image {built.reference} has neither ENTRYPOINT nor CMD.",
                hint="Set one in the Dockerfile, or command in each task definition that runs the image.",
            )
        )
    move_tags(context, built)
    did = "was in ECR already" if built.was_there else "is built and pushed"
    reason = f"The image {built.reference} {did}: {built.digest}."
    return Verdict(outcome=Outcome.SUCCEEDED, reason=reason)
