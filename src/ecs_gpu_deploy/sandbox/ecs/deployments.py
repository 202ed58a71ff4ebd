"""The operations on service deployments and service revisions."""

from __future__ import annotations

from ecs_gpu_deploy.ecs_model.state import ServiceDeployment
from ecs_gpu_deploy.sandbox.ecs.pages import page_of
from ecs_gpu_deploy.sandbox.ecs.region import (
    Cluster,
    EcsRegion,
    Request,
    Response,
    at_most,
    missing,
    unsupported,
)
from ecs_gpu_deploy.sandbox.ecs.service_views import (
    service_deployment_brief,
    service_deployment_view,
    service_revision_view,
)
from ecs_gpu_deploy.sandbox.protocol.api_errors import ApiError, invalid_parameter
from ecs_gpu_deploy.sandbox.protocol.shapes import epoch_of

HISTORY_SECONDS = 90 * 86_400.0
"""How long service deployments can be listed (Developer Guide, "View service history")."""


def list_service_deployments(region: EcsRegion, request: Request) -> Response:
    """List a service's deployments of the last 90 days, newest first, by status and time of creation."""
    cluster = region.cluster(request)
    service = region.service(cluster, request["service"])
    if (service.config.get("deploymentController") or {}).get("type", "ECS") != "ECS":
        raise unsupported("Service deployments are only available for the ECS deployment controller.")
    statuses = set(request.get("status") or ())
    window = request.get("createdAt") or {}
    after = epoch_of(window["after"]) if window.get("after") is not None else 0.0
    before = epoch_of(window["before"]) if window.get("before") is not None else float("inf")
    oldest = max(after, region.now - HISTORY_SECONDS)
    deployments = [
        deployment
        for deployment in (
            cluster.scheduler.service_deployments[arn] for arn in service.service_deployment_arns
        )
        if (not statuses or str(deployment.status) in statuses)
        and oldest <= round(deployment.created_at, 3) <= before
    ]
    deployments.sort(key=lambda deployment: deployment.created_at, reverse=True)
    page, token = page_of(deployments, request, default=20)
    return {"serviceDeployments": [service_deployment_brief(one) for one in page], **token}


def describe_service_deployments(region: EcsRegion, request: Request) -> Response:
    """Describe up to 20 service deployments."""
    found, failures = [], []
    for arn in at_most(request, "serviceDeploymentArns", 20, "ServiceDeploymentArns"):
        cluster = _cluster_of(region, arn)
        deployment = cluster.scheduler.service_deployments.get(arn) if cluster else None
        if cluster is None or deployment is None:
            failures.append(missing(arn))
        else:
            found.append(service_deployment_view(cluster, deployment))
    return {"serviceDeployments": found, "failures": failures}


def describe_service_revisions(region: EcsRegion, request: Request) -> Response:
    """Describe up to 20 service revisions."""
    found, failures = [], []
    for arn in at_most(request, "serviceRevisionArns", 20, "ServiceRevisionArns"):
        cluster = _cluster_of(region, arn)
        revision = cluster.scheduler.service_revisions.get(arn) if cluster else None
        if revision is None:
            failures.append(missing(arn))
        else:
            found.append(service_revision_view(revision))
    return {"serviceRevisions": found, "failures": failures}


def stop_service_deployment(region: EcsRegion, request: Request) -> Response:
    """Stop an ongoing service deployment; ROLLBACK where the stop type is not given."""
    arn = request["serviceDeploymentArn"]
    cluster, _ = _deployment(region, arn)
    cluster.scheduler.stop_service_deployment(arn, request.get("stopType") or "ROLLBACK", region.now)
    return {"serviceDeploymentArn": arn}


def continue_service_deployment(region: EcsRegion, request: Request) -> Response:
    """Answer a PAUSE hook; CONTINUE where the action is not given."""
    arn = request["serviceDeploymentArn"]
    cluster, _ = _deployment(region, arn)
    action = request.get("action") or "CONTINUE"
    cluster.scheduler.continue_service_deployment(arn, request["hookId"], action, region.now)
    return {"serviceDeploymentArn": arn}


def _cluster_of(region: EcsRegion, arn: str) -> Cluster | None:
    """Find the cluster in `...:service-deployment/CLUSTER/SERVICE/ID` or a revision's ARN."""
    parts = arn.split("/")
    if not arn.startswith("arn:") or len(parts) != 4:
        raise invalid_parameter(f"Invalid ARN: {arn}")
    return region.clusters.get(parts[1])


def _deployment(region: EcsRegion, arn: str) -> tuple[Cluster, ServiceDeployment]:
    cluster = _cluster_of(region, arn)
    deployment = cluster.scheduler.service_deployments.get(arn) if cluster else None
    if cluster is None or deployment is None:
        raise ApiError("ServiceDeploymentNotFoundException", "The service deployment was not found.")
    return cluster, deployment
