"""CreateService, UpdateService, DeleteService and the requests about service deployments.

Source: API Reference, the pages of these operations; docs/aws-facts.md#stopping-a-deployment.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ecs_gpu_deploy.core.capacity.cluster_query import predicate_of
from ecs_gpu_deploy.ecs_model import deployments, stages
from ecs_gpu_deploy.ecs_model.model import Model
from ecs_gpu_deploy.ecs_model.refusals import (
    Conflict,
    InvalidParameter,
    ServiceDeploymentNotFound,
    ServiceNotActive,
    ServiceNotFound,
)
from ecs_gpu_deploy.ecs_model.state import Service, ServiceDeployment
from ecs_gpu_deploy.model import ServiceDeploymentStatus

# Members of a request that are about the request, not about the service.
_REQUEST_ONLY = frozenset({"cluster", "service", "clientToken", "forceNewDeployment", "desiredCount"})


def create(model: Model, config: Mapping[str, Any]) -> Service:
    """Create a service and start its first deployment (API Reference, CreateService)."""
    name = str(config.get("serviceName") or "")
    if not name:
        raise InvalidParameter("Service name can not be empty.")
    existing = model.services.get(name)
    if existing is not None and existing.status == "DRAINING":
        raise InvalidParameter("Unable to Start a service that is still Draining.")
    if existing is not None:
        raise InvalidParameter("Creation of service was not idempotent.")
    service = Service(
        name=name,
        arn=model.identifiers.service_arn(name),
        cluster_arn=model.cluster_arn,
        config={
            key: value for key, value in config.items() if value is not None and key not in _REQUEST_ONLY
        },
        created_at=model.now,
        desired_count=_desired(config.get("desiredCount"), 0),
    )
    _check(model, service.config)
    model.inactive_services.pop(name, None)
    model.services[name] = service
    deployments.begin(model, service)
    model.touch(service)
    return service


def update(model: Model, name: str, changes: Mapping[str, Any]) -> Service:
    """Change a service; a change of what belongs to its revision, or force, starts a deployment."""
    service = active(model, name)
    merged = {key: value for key, value in changes.items() if value is not None and key not in _REQUEST_ONLY}
    _check(model, {**service.config, **merged})
    new_revision = any(
        key in merged and merged[key] != service.config.get(key) for key in deployments.REVISION_SETTINGS
    )
    service.config.update(merged)
    service.desired_count = _desired(changes.get("desiredCount"), service.desired_count)
    if new_revision or changes.get("forceNewDeployment"):
        deployments.begin(model, service)
    else:
        service.primary.desired_count = service.desired_count
    service.steady = False
    model.touch(service)
    return service


def delete(model: Model, name: str, *, force: bool) -> Service:
    """Drain a service; it becomes INACTIVE with its last task.

    Source: API Reference, "DeleteService".
    """
    service = model.services.get(name) or model.inactive_services.get(name)
    if service is None:
        raise ServiceNotFound
    if service.status != "ACTIVE":
        raise ServiceNotActive
    daemon = service.config.get("schedulingStrategy") == "DAEMON"
    if service.desired_count > 0 and not force and not daemon:
        raise InvalidParameter("The service cannot be stopped while it is scaled above 0.")
    service.status = "DRAINING"
    service.desired_count = 0
    service.primary.desired_count = 0
    model.touch(service)
    return service


def stop_deployment(model: Model, arn: str, stop_type: str) -> ServiceDeployment:
    """Stop a service deployment, rolling back (the only way that AWS's page gives) or not.

    Source: docs/aws-facts.md#stopping-a-deployment.
    """
    service, record = _deployment(model, arn)
    if stop_type not in {"", "ROLLBACK", "ABORT"}:
        raise InvalidParameter("The stopType must be ROLLBACK or ABORT.")
    if record.status.is_terminal or service.service_deployment_arns[0] != arn:
        raise Conflict(f"The service deployment cannot be stopped in the status {record.status}.")
    asked = record.status in {ServiceDeploymentStatus.PENDING, ServiceDeploymentStatus.IN_PROGRESS}
    if asked:
        record.updated_at = model.now
        if stop_type == "ABORT":
            record.status = ServiceDeploymentStatus.STOP_REQUESTED
            service.primary.stalled = True
        else:
            record.status = ServiceDeploymentStatus.ROLLBACK_REQUESTED
    elif record.status is ServiceDeploymentStatus.STOP_REQUESTED and stop_type != "ABORT":
        record.status = ServiceDeploymentStatus.ROLLBACK_REQUESTED
        record.updated_at = model.now
    model.touch(service)
    return record


def continue_deployment(model: Model, arn: str, hook_id: str, action: str) -> ServiceDeployment:
    """Answer a PAUSE hook of a service deployment."""
    service, record = _deployment(model, arn)
    if record.status.is_terminal:
        raise Conflict(f"The service deployment cannot be continued in the status {record.status}.")
    stages.answer_hook(model, service, record, hook_id, action)
    return record


def active(model: Model, name: str) -> Service:
    """Give an ACTIVE service by name (API Reference, UpdateService, "Errors")."""
    service = model.services.get(name)
    if service is None:
        if name in model.inactive_services:
            raise ServiceNotActive
        raise ServiceNotFound
    if service.status != "ACTIVE":
        raise ServiceNotActive
    return service


def _deployment(model: Model, arn: str) -> tuple[Service, ServiceDeployment]:
    record = model.service_deployments.get(arn)
    service = model.services.get(record.service_name) if record else None
    if record is None or service is None or service.arn != record.service_arn:
        raise ServiceDeploymentNotFound
    return service, record


def _desired(value: Any, default: int) -> int:
    desired = default if value is None else int(value)
    if desired < 0:
        raise InvalidParameter("desiredCount must be greater than or equal to 0.")
    return desired


def _check(model: Model, config: Mapping[str, Any]) -> None:
    """Refuse what ECS refuses: containers and ports that do not exist, unknown providers, bad expressions."""
    definition = model.surroundings.task_definition(str(config.get("taskDefinition")))
    containers = {str(each.get("name")): each for each in definition.get("containerDefinitions", ())}
    for balancer in config.get("loadBalancers") or ():
        if not balancer.get("targetGroupArn"):
            continue
        name, port = str(balancer.get("containerName")), int(balancer.get("containerPort") or 0)
        if name not in containers:
            raise InvalidParameter(f"The container {name} does not exist in the task definition.")
        ports = {int(each.get("containerPort") or 0) for each in containers[name].get("portMappings") or ()}
        if port not in ports:
            raise InvalidParameter(f"The container {name} did not have a container port {port} defined.")
        if model.surroundings.target_group(str(balancer["targetGroupArn"])) is None:
            raise InvalidParameter("The specified target group does not exist.")
    for item in config.get("capacityProviderStrategy") or ():
        name = str(item.get("capacityProvider"))
        if name not in model.capacity_providers and not name.startswith("FARGATE"):
            raise InvalidParameter("The specified capacity provider was not found.")
    for constraint in config.get("placementConstraints") or ():
        if constraint.get("type") == "memberOf":
            try:
                predicate_of(str(constraint.get("expression")))
            except ValueError as error:
                raise InvalidParameter(f"Invalid placement constraint: {error}") from None
