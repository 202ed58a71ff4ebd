"""A task definition rendered without a deployment, as render and register do it: seen, checked, shown."""

from __future__ import annotations

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.defaults import CLUSTER
from ecs_gpu_deploy.facts import RolloutShown, ServiceSeen
from ecs_gpu_deploy.inputs.requests import RegisterRequest, RenderRequest
from ecs_gpu_deploy.model import Service, short_id
from ecs_gpu_deploy.result import Finding, Severity
from ecs_gpu_deploy.steps.render_revision import Rendering, render_revision, show_changes
from ecs_gpu_deploy.steps.start_deployment import check_fit


def render_alone(
    context: Context, request: RenderRequest | RegisterRequest
) -> tuple[Rendering, Service | None]:
    """Return what is to run, and the service that is named, after every named thing was seen to exist."""
    tell_unused_cluster(context, request)
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
    return rendering, service


def tell_unused_cluster(context: Context, request: RenderRequest | RegisterRequest) -> None:
    """Say that a cluster without a service is not looked at: a task definition is of none."""
    if request.service or request.cluster in {"", CLUSTER}:
        return
    context.record(
        Finding(
            code="cluster-not-looked-at",
            severity=Severity.INFO,
            message="A task definition is of no cluster, so nobody looked whether "
            f"{short_id(request.cluster)} is there.",
            hint="With service, the cluster is looked at too.",
        )
    )
