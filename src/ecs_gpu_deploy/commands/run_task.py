"""run-task: run a task definition as a batch, watch it to the end, and judge every container."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.definition.task_definition import container_named, images
from ecs_gpu_deploy.core.image.image_reference import ImageReference
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.edges.aws.ecr import fetch_image
from ecs_gpu_deploy.edges.aws.ecs import RawTaskDefinition
from ecs_gpu_deploy.edges.aws.ecs_tasks import EcsTasks, LaunchSettings
from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.facts import ImageSeen, RevisionChosen
from ecs_gpu_deploy.inputs.requests import RevisionWish, RunTaskRequest
from ecs_gpu_deploy.model import short_id
from ecs_gpu_deploy.steps.check_providers import check_providers
from ecs_gpu_deploy.steps.register_revision import register_rendering
from ecs_gpu_deploy.steps.render_revision import render_revision, show_changes
from ecs_gpu_deploy.steps.request_batch import request_tasks
from ecs_gpu_deploy.steps.run_batch import run_batch


def run(context: Context, request: RunTaskRequest) -> Verdict:
    """Start the batch, and return the verdict over it. InvalidInput leaves AWS as it was."""
    edge = EcsTasks(context.aws, request.cluster)
    launch = _launch_settings(context, request, edge)
    check_providers(context, request.cluster, request.strategy)
    if request.revision is not None:
        if launch is None:
            edge.check_cluster()
        return _run_registered(context, request, request.revision, launch)
    definition = _definition(context, request.task_definition or (launch.task_definition if launch else ""))
    asked = request_tasks(request, launch, definition)
    _look_at_image(context, definition.body, request.overrides.container)
    return run_batch(context, request, asked, definition)


def _run_registered(
    context: Context, request: RunTaskRequest, wish: RevisionWish, launch: LaunchSettings | None
) -> Verdict:
    """Register the revision that is wished for, unless it is there, and run that: once all is checked."""
    is_services = launch is not None and wish.source.document is None and not wish.source.name
    runs = launch.task_definition if launch is not None and is_services else ""
    rendering = render_revision(context, wish, wish.overrides, runs=runs)
    asked = request_tasks(request, launch, RawTaskDefinition(body=rendering.definition))
    show_changes(context.reporter, rendering)
    arn = register_rendering(context, rendering, commit="").arn
    definition = RawTaskDefinition(body={**rendering.definition, "taskDefinitionArn": arn})
    return run_batch(context, request, replace(asked, task_definition=arn), definition)


def _launch_settings(context: Context, request: RunTaskRequest, edge: EcsTasks) -> LaunchSettings | None:
    """Return how the service starts its tasks; InvalidInput where there is none of that name."""
    if not request.service:
        return None
    launch = edge.fetch_launch_settings(request.service)
    if launch is None:
        context.ecs.fetch_service(request.service)
    return launch


def _definition(context: Context, name: str) -> RawTaskDefinition:
    raw = context.ecs.fetch_task_definition(name)
    if raw.body.get("status") == "INACTIVE":
        raise InvalidInput(
            f"The revision {short_id(raw.arn)} is deregistered (INACTIVE).",
            hint="Give another one, or the family alone for its newest revision.",
        )
    context.record(RevisionChosen(arn=raw.arn))
    return raw


def _look_at_image(context: Context, definition: Mapping[str, Any], container: str) -> None:
    """Say which digest a tag means now: `latest` is what it was pushed to last."""
    named = images(definition)
    first = next((c["name"] for c in definition["containerDefinitions"] if c.get("essential", True)), "")
    main = container_named(definition, container) if container else first
    for name, image in named.items():
        seen, finding = fetch_image(context.aws, ImageReference.from_text(image))
        if finding:
            context.record(finding)
        if name == main:
            context.record(ImageSeen(image=image, digest=seen.digest))
            if seen.digest and "@" not in image:
                context.reporter.say(f"image {image} is {seen.digest} now")
