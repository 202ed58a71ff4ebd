"""push: build the image and push it to ECR, unless it is there."""

from __future__ import annotations

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.inputs.requests import PushRequest
from ecs_gpu_deploy.result import Outcome
from ecs_gpu_deploy.steps.build_image import build_image


def run(context: Context, request: PushRequest) -> Verdict:
    """Push, and return the verdict; a refusal or a build that fails is raised."""
    built = build_image(context, request.build)
    did = "was in ECR already" if built.was_there else "is built and pushed"
    reason = f"The image {built.reference} {did}: {built.digest}."
    return Verdict(outcome=Outcome.SUCCEEDED, reason=reason)
