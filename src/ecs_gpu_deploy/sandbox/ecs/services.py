"""The operations on services."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from ecs_gpu_deploy.ecs_model.state import Service
from ecs_gpu_deploy.sandbox.ecs import codedeploy
from ecs_gpu_deploy.sandbox.ecs.clusters import check_strategy, provider_name
from ecs_gpu_deploy.sandbox.ecs.pages import page_of
from ecs_gpu_deploy.sandbox.ecs.region import Cluster, EcsRegion, Request, Response, at_most, missing
from ecs_gpu_deploy.sandbox.ecs.service_views import service_view
from ecs_gpu_deploy.sandbox.ecs.task_definitions import check_launch_type
from ecs_gpu_deploy.sandbox.ecs.volumes import check_volumes
from ecs_gpu_deploy.sandbox.protocol.api_errors import invalid_parameter


def create_service(region: EcsRegion, request: Request) -> Response:
    """Create a service; its first deployment starts at once."""
    cluster = region.cluster(request)
    token = request.get("clientToken")
    if token and ("CreateService", token) in region.client_tokens:
        return region.client_tokens["CreateService", token]
    name = request.get("serviceName") or ""
    existing = cluster.scheduler.services.get(name)
    if existing is not None and existing.status == "ACTIVE":
        raise invalid_parameter("Creation of service was not idempotent.")
    service = start_service(region, cluster, request)
    response: Response = {"service": service_view(region, service, ("TAGS",))}
    if token:
        region.client_tokens["CreateService", token] = response
    return response


def start_service(region: EcsRegion, cluster: Cluster, request: Request) -> Service:
    """Check a CreateService request and start its service in the model."""
    config = checked_config(region, cluster, request)
    config.setdefault("schedulingStrategy", "REPLICA")
    config.setdefault("deploymentController", {"type": "ECS"})
    if config["deploymentController"].get("type") == "CODE_DEPLOY":
        # The model brings a new task set beside the old one, as CodeDeploy does; no breaker ends that.
        given = dict(config.get("deploymentConfiguration") or {})
        given.pop("deploymentCircuitBreaker", None)
        config["deploymentConfiguration"] = given | {"strategy": "BLUE_GREEN"}
    config.setdefault("availabilityZoneRebalancing", "ENABLED")
    config.setdefault("enableECSManagedTags", False)
    config.setdefault("enableExecuteCommand", False)
    config.setdefault("propagateTags", "NONE")
    config.setdefault("desiredCount", 1)
    if config.get("loadBalancers"):
        config.setdefault("healthCheckGracePeriodSeconds", 0)
    if not config.get("capacityProviderStrategy") and not config.get("launchType"):
        if cluster.default_strategy:
            config["capacityProviderStrategy"] = copy.deepcopy(cluster.default_strategy)
        else:
            config["launchType"] = "EC2"
    config["createdBy"] = region.caller
    service = cluster.scheduler.create_service(config, region.now)
    region.set_tags(service.arn, request.get("tags"))
    return service


def update_service(region: EcsRegion, request: Request) -> Response:
    """Change a service; some members start a deployment (UpdateService, Amazon ECS API Reference)."""
    cluster = region.cluster(request)
    service = region.service(cluster, request["service"])
    if codedeploy.refuses(service, request):
        raise invalid_parameter(
            "Unable to update task definition on services with a CODE_DEPLOY deployment controller. "
            "Use AWS CodeDeploy to trigger a new deployment."
        )
    merged = {**service.config, **{key: value for key, value in request.items() if value is not None}}
    checked = checked_config(region, cluster, merged)
    changes = {
        key: checked[key]
        for key, value in request.items()
        if value is not None and key in checked and key not in ("cluster", "service")
    }
    service = cluster.scheduler.update_service(service.name, changes, region.now)
    return {"service": service_view(region, service, ("TAGS",))}


def checked_config(region: EcsRegion, cluster: Cluster, request: Request) -> dict[str, Any]:
    """Return a service's settings with names resolved to ARNs, or raise AWS's error for what cannot be."""
    config: dict[str, Any] = {
        key: copy.deepcopy(value)
        for key, value in request.items()
        if value is not None and key not in ("cluster", "clientToken", "tags")
    }
    if not config.get("taskDefinition"):
        raise invalid_parameter("TaskDefinition can not be blank.")
    name = str(config["taskDefinition"])
    # A service may go on with a revision that has become INACTIVE; nothing new may start with one.
    kept = name if name.startswith("arn:") and region.task_definitions.find(name) else ""
    known = (
        region.find_service(cluster, str(request.get("service") or "")) if request.get("service") else None
    )
    if known is not None and kept == known.config.get("taskDefinition"):
        revision = region.task_definitions.find(name)
    else:
        revision = region.task_definitions.usable(name)
    if revision is None:
        raise invalid_parameter("TaskDefinition not found.")
    config["taskDefinition"] = revision.arn
    if config.get("desiredCount", 0) < 0:
        raise invalid_parameter("Desired count must not be negative.")
    _check_percents(config.get("deploymentConfiguration") or {})
    _check_strategy(config.get("deploymentConfiguration") or {})
    _check_load_balancers(region, config, revision.description)
    _check_network(config, revision.description)
    check_volumes(config, revision.description)
    strategy = config.get("capacityProviderStrategy")
    if strategy:
        if request.get("launchType") and "capacityProviderStrategy" in request and known is None:
            raise invalid_parameter(
                "Specifying both a launch type and capacity provider strategy is not supported."
                " Remove one and try again."
            )
        for item in strategy:
            item["capacityProvider"] = provider_name(item["capacityProvider"])
        check_strategy(cluster, strategy)
    else:
        check_launch_type(revision.description, config.get("launchType") or "")
    return config


def _check_percents(configuration: Mapping[str, Any]) -> None:
    most = configuration.get("maximumPercent")
    least = configuration.get("minimumHealthyPercent")
    if most == 100 and least == 100:
        raise invalid_parameter(
            "Both maximumPercent and minimumHealthyPercent cannot be 100 as this will block deployments."
        )
    if most is not None and most < 100:
        raise invalid_parameter("maximumPercent must be at least 100.")


def _check_strategy(configuration: Mapping[str, Any]) -> None:
    """Refuse what goes with another strategy only (API Reference, DeploymentConfiguration), in our words."""
    strategy = configuration.get("strategy") or "ROLLING"
    for member, of in (("linearConfiguration", "LINEAR"), ("canaryConfiguration", "CANARY")):
        if configuration.get(member) and strategy != of:
            raise invalid_parameter(f"{member} is only valid with the deployment strategy {of}.")
    early = configuration.get("earlySuccessCriteria") or {}
    if early.get("enable") and strategy != "ROLLING":
        raise invalid_parameter("earlySuccessCriteria is only valid with the deployment strategy ROLLING.")
    if early.get("enable") and not (
        configuration.get("minimumHealthyPercent", 100) <= early.get("healthyPercent", -1) <= 100
    ):
        raise invalid_parameter("healthyPercent must be between minimumHealthyPercent and 100.")


def _check_load_balancers(
    region: EcsRegion, config: Mapping[str, Any], task_definition: Mapping[str, Any]
) -> None:
    balancers = config.get("loadBalancers") or ()
    if not balancers and config.get("healthCheckGracePeriodSeconds"):
        raise invalid_parameter(
            "Health check grace period is only valid for services configured to use load balancers."
        )
    containers = {one["name"]: one for one in task_definition["containerDefinitions"]}
    for balancer in balancers:
        arn = balancer.get("targetGroupArn")
        if arn and region.neighbours.target_group(arn) is None:
            raise invalid_parameter(
                "Unable to assume role and validate the specified targetGroupArn. Please verify that the ECS"
                " service role being passed has the proper permissions."
            )
        if arn and not region.neighbours.target_group_has_balancer(arn):
            raise invalid_parameter(
                f"The target group with targetGroupArn {arn} does not have an associated load balancer."
            )
        name, port = balancer.get("containerName"), balancer.get("containerPort")
        if name not in containers:
            raise invalid_parameter(f"The container {name} does not exist in the task definition.")
        ports = {mapping.get("containerPort") for mapping in containers[name].get("portMappings", ())}
        if port not in ports:
            raise invalid_parameter(f"The container {name} did not have a container port {port} defined.")


def _check_network(config: Mapping[str, Any], task_definition: Mapping[str, Any]) -> None:
    awsvpc = task_definition.get("networkMode") == "awsvpc"
    given = bool((config.get("networkConfiguration") or {}).get("awsvpcConfiguration"))
    if awsvpc and not given:
        raise invalid_parameter(
            "Network Configuration must be provided when networkMode 'awsvpc' is specified."
        )
    if given and not awsvpc:
        raise invalid_parameter(
            "Network Configuration is not valid for the given networkMode of this task definition."
        )


def delete_service(region: EcsRegion, request: Request) -> Response:
    """Drain and delete a service."""
    cluster = region.cluster(request)
    service = region.service(cluster, request["service"])
    force = bool(request.get("force"))
    if service.desired_count > 0 and not force and service.status == "ACTIVE":
        raise invalid_parameter("The service cannot be stopped while it is scaled above 0.")
    service = cluster.scheduler.delete_service(service.name, region.now, force=force)
    return {"service": service_view(region, service, ("TAGS",))}


def describe_services(region: EcsRegion, request: Request) -> Response:
    """Describe up to 10 services; one that is not there is a failure MISSING."""
    cluster = region.cluster(request)
    include = request.get("include") or ()
    found, failures = [], []
    for name in at_most(request, "services", 10, "Services"):
        service = region.find_service(cluster, name)
        if service is None:
            arn = name if name.startswith("arn:") else region.arn(f"service/{cluster.name}/{name}")
            failures.append(missing(arn))
        else:
            found.append(service_view(region, service, include))
    return {"services": found, "failures": failures}


def list_services(region: EcsRegion, request: Request) -> Response:
    """List the ARNs of a cluster's services, by launch type and scheduling strategy."""
    cluster = region.cluster(request)
    arns = sorted(
        service.arn
        for service in cluster.scheduler.services.values()
        if _as_asked(service.config, request, "launchType")
        and _as_asked(service.config, request, "schedulingStrategy")
    )
    page, token = page_of(arns, request, default=10)
    return {"serviceArns": list(page), **token}


def _as_asked(config: Mapping[str, Any], request: Request, member: str) -> bool:
    return not request.get(member) or config.get(member) == request[member]


def list_services_by_namespace(region: EcsRegion, request: Request) -> Response:
    """List the ARNs of the services in a Cloud Map namespace, of all clusters."""
    namespace = request["namespace"].rpartition("/")[2]
    arns = sorted(
        service.arn
        for cluster in region.clusters.values()
        for service in cluster.scheduler.services.values()
        if (service.config.get("serviceConnectConfiguration") or {}).get("namespace", "").endswith(namespace)
    )
    page, token = page_of(arns, request, default=10)
    return {"serviceArns": list(page), **token}
