"""The operations on clusters and capacity providers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ecs_gpu_deploy.ecs_model.state import CapacityProvider
from ecs_gpu_deploy.sandbox.ecs.pages import page_of
from ecs_gpu_deploy.sandbox.ecs.region import (
    FARGATE_PROVIDERS,
    Cluster,
    EcsRegion,
    RegisteredProvider,
    Request,
    Response,
    missing,
)
from ecs_gpu_deploy.sandbox.protocol.api_errors import ApiError, client_exception, invalid_parameter


def cluster_view(region: EcsRegion, cluster: Cluster, include: Sequence[str]) -> dict[str, Any]:
    """Describe a cluster as DescribeClusters does."""
    scheduler = cluster.scheduler
    tasks = list(scheduler.tasks.values())
    view: dict[str, Any] = {
        "clusterArn": cluster.arn,
        "clusterName": cluster.name,
        "status": cluster.status,
        "registeredContainerInstancesCount": len(scheduler.instances),
        "runningTasksCount": sum(1 for task in tasks if task.running),
        "pendingTasksCount": sum(1 for task in tasks if task.pending),
        "activeServicesCount": sum(1 for one in scheduler.services.values() if one.status == "ACTIVE"),
        "statistics": [],
        "tags": region.tags_of(cluster.arn, include),
        "settings": cluster.settings if "SETTINGS" in include else [],
        "capacityProviders": list(cluster.capacity_providers),
        "defaultCapacityProviderStrategy": list(cluster.default_strategy),
        "serviceConnectDefaults": cluster.service_connect_defaults,
    }
    if "CONFIGURATIONS" in include:
        view["configuration"] = cluster.configuration
    return view


EVERYTHING = ("SETTINGS", "CONFIGURATIONS", "TAGS")


def create_cluster(region: EcsRegion, request: Request) -> Response:
    """Create a cluster; an existing one of the name is returned as it is, as AWS does."""
    name = request.get("clusterName") or "default"
    cluster = region.clusters.get(name)
    if cluster is None or cluster.status != "ACTIVE":
        cluster = region.create_cluster(name, request)
        region.set_tags(cluster.arn, request.get("tags"))
        if request.get("capacityProviders"):
            associate(
                region,
                cluster,
                request["capacityProviders"],
                request.get("defaultCapacityProviderStrategy") or (),
            )
    return {"cluster": cluster_view(region, cluster, EVERYTHING)}


def describe_clusters(region: EcsRegion, request: Request) -> Response:
    """Describe up to 100 clusters, `default` where none is named."""
    names = list(request.get("clusters") or ("default",))
    if len(names) > 100:
        raise invalid_parameter("Clusters cannot have more than 100 elements.")
    found, failures = [], []
    for name in names:
        cluster = region.find_cluster(name)
        if cluster is None:
            failures.append(missing(name if name.startswith("arn:") else region.arn(f"cluster/{name}")))
        else:
            found.append(cluster_view(region, cluster, request.get("include") or ()))
    return {"clusters": found, "failures": failures}


def list_clusters(region: EcsRegion, request: Request) -> Response:
    """List the ARNs of the active clusters."""
    arns = sorted(cluster.arn for cluster in region.clusters.values() if cluster.status == "ACTIVE")
    page, token = page_of(arns, request)
    return {"clusterArns": list(page), **token}


def update_cluster(region: EcsRegion, request: Request) -> Response:
    """Change settings, configuration or Service Connect defaults."""
    cluster = region.cluster(request)
    if request.get("settings"):
        cluster.settings = [dict(setting) for setting in request["settings"]]
    if request.get("configuration"):
        cluster.configuration = request["configuration"]
    if request.get("serviceConnectDefaults"):
        cluster.service_connect_defaults = request["serviceConnectDefaults"]
    return {"cluster": cluster_view(region, cluster, EVERYTHING)}


def delete_cluster(region: EcsRegion, request: Request) -> Response:
    """Make an empty cluster INACTIVE."""
    cluster = region.cluster(request)
    scheduler = cluster.scheduler
    if any(service.status == "ACTIVE" for service in scheduler.services.values()):
        raise ApiError(
            "ClusterContainsServicesException", "The Cluster cannot be deleted while Services are active."
        )
    if scheduler.instances:
        raise ApiError(
            "ClusterContainsContainerInstancesException",
            "The Cluster cannot be deleted while Container Instances are active or draining.",
        )
    if any(task.live for task in scheduler.tasks.values()):
        raise ApiError(
            "ClusterContainsTasksException", "The Cluster cannot be deleted while Tasks are active."
        )
    cluster.status = "INACTIVE"
    return {"cluster": cluster_view(region, cluster, EVERYTHING)}


def put_cluster_capacity_providers(region: EcsRegion, request: Request) -> Response:
    """Associate capacity providers with a cluster and set its default strategy."""
    cluster = region.cluster(request)
    associate(region, cluster, request["capacityProviders"], request["defaultCapacityProviderStrategy"])
    return {"cluster": cluster_view(region, cluster, EVERYTHING)}


def associate(
    region: EcsRegion, cluster: Cluster, names: Iterable[str], strategy: Iterable[Mapping[str, Any]]
) -> None:
    """Associate providers with a cluster, in the model as well; raise AWS's errors for unknown ones."""
    plain = [provider_name(name) for name in names]
    for name in plain:
        if name in FARGATE_PROVIDERS:
            continue
        if name not in region.capacity_providers:
            raise invalid_parameter(
                f"The specified capacity provider '{name}' was not found. Specify a valid name or ARN and try"
                " again."
            )
        if name not in cluster.capacity_providers:
            cluster.scheduler.put_capacity_provider(region.capacity_providers[name].model, region.now)
    chosen = [dict(item) | {"capacityProvider": provider_name(item["capacityProvider"])} for item in strategy]
    cluster.capacity_providers = plain
    check_strategy(cluster, chosen)
    cluster.default_strategy = chosen
    cluster.scheduler.set_default_strategy(chosen)


def check_strategy(cluster: Cluster, strategy: Sequence[Mapping[str, Any]]) -> None:
    """Raise AWS's error for a strategy with a provider that the cluster does not have."""
    for item in strategy:
        if item["capacityProvider"] not in cluster.capacity_providers:
            raise invalid_parameter(
                "The specified capacity provider strategy cannot contain a capacity provider that is not"
                " associated with the cluster. Associate the capacity provider with the cluster and try"
                " again."
            )


def provider_name(name_or_arn: str) -> str:
    """Return a capacity provider's plain name."""
    return name_or_arn.rpartition("/")[2]


def create_capacity_provider(region: EcsRegion, request: Request) -> Response:
    """Create a capacity provider over an Auto Scaling group."""
    name = request["name"]
    if name.lower().startswith(("aws", "ecs", "fargate")):
        raise client_exception(f"The specified name {name} is not valid: it begins with a reserved prefix.")
    if name in region.capacity_providers:
        raise client_exception("A capacity provider with the specified name already exists.")
    group = request.get("autoScalingGroupProvider")
    if not group:
        raise client_exception("The local AWS has capacity providers over Auto Scaling groups only.")
    scaling = group.get("managedScaling") or {}
    region.capacity_providers[name] = register_provider(
        region,
        options=group,
        model=CapacityProvider(
            name=name,
            arn=region.arn(f"capacity-provider/{name}"),
            managed_scaling=scaling.get("status", "DISABLED") == "ENABLED",
            target_capacity=scaling.get("targetCapacity", 100),
            warmup_seconds=float(scaling.get("instanceWarmupPeriod", 300)),
            maximum_step=scaling.get("maximumScalingStepSize", 10_000),
            auto_scaling_group_arn=group["autoScalingGroupArn"],
        ),
    )
    region.set_tags(region.arn(f"capacity-provider/{name}"), request.get("tags"))
    return {"capacityProvider": _provider_view(region, region.capacity_providers[name], ("TAGS",))}


def register_provider(
    region: EcsRegion, model: CapacityProvider, *, options: Mapping[str, Any] | None = None
) -> RegisteredProvider:
    """Describe a model's capacity provider as AWS would, with what the request said of other settings."""
    chosen = options or {}
    scaling = chosen.get("managedScaling") or {}
    return RegisteredProvider(
        model=model,
        description={
            "capacityProviderArn": region.arn(f"capacity-provider/{model.name}"),
            "name": model.name,
            "status": "ACTIVE",
            "autoScalingGroupProvider": {
                "autoScalingGroupArn": model.auto_scaling_group_arn,
                "managedScaling": {
                    "status": "ENABLED" if model.managed_scaling else "DISABLED",
                    "targetCapacity": model.target_capacity,
                    "minimumScalingStepSize": scaling.get("minimumScalingStepSize", 1),
                    "maximumScalingStepSize": model.maximum_step,
                    "instanceWarmupPeriod": round(model.warmup_seconds),
                },
                "managedTerminationProtection": chosen.get("managedTerminationProtection", "DISABLED"),
                "managedDraining": chosen.get("managedDraining", "ENABLED"),
            },
            "type": "EC2_AUTOSCALING",
        },
    )


def _provider_view(region: EcsRegion, provider: RegisteredProvider, include: Sequence[str]) -> dict[str, Any]:
    arn = provider.description["capacityProviderArn"]
    return {**provider.description, "tags": region.tags_of(arn, include)}


def describe_capacity_providers(region: EcsRegion, request: Request) -> Response:
    """Describe capacity providers, AWS's own included; all of them where none is named."""
    include = request.get("include") or ()
    fargate = {
        name: {
            "capacityProviderArn": region.arn(f"capacity-provider/{name}"),
            "name": name,
            "status": "ACTIVE",
            "type": name,
            "tags": [],
        }
        for name in FARGATE_PROVIDERS
    }
    known: dict[str, dict[str, Any]] = fargate | {
        name: _provider_view(region, provider, include)
        for name, provider in region.capacity_providers.items()
    }
    if request.get("cluster"):
        cluster = region.cluster(request)
        known = {name: view for name, view in known.items() if name in cluster.capacity_providers}
    names = [provider_name(name) for name in request.get("capacityProviders") or known]
    found = [known[name] for name in names if name in known]
    failures = [missing(region.arn(f"capacity-provider/{name}")) for name in names if name not in known]
    page, token = page_of(found, request, default=10, limit=10)
    return {"capacityProviders": list(page), "failures": failures, **token}


def update_capacity_provider(region: EcsRegion, request: Request) -> Response:
    """Change a capacity provider's managed scaling."""
    provider = _provider(region, request["name"])
    group = request.get("autoScalingGroupProvider") or {}
    changes = group.get("managedScaling") or {}
    known = provider.description["autoScalingGroupProvider"]
    model = provider.model
    if "status" in changes:
        model.managed_scaling = changes["status"] == "ENABLED"
    model.target_capacity = changes.get("targetCapacity", model.target_capacity)
    model.warmup_seconds = float(changes.get("instanceWarmupPeriod", model.warmup_seconds))
    model.maximum_step = changes.get("maximumScalingStepSize", model.maximum_step)
    options = {**known, **group, "managedScaling": {**known["managedScaling"], **changes}}
    provider.description = register_provider(region, model, options=options).description
    provider.description["updateStatus"] = "UPDATE_COMPLETE"
    return {"capacityProvider": _provider_view(region, provider, ("TAGS",))}


def delete_capacity_provider(region: EcsRegion, request: Request) -> Response:
    """Delete a capacity provider that no cluster uses."""
    name = provider_name(request["capacityProvider"])
    provider = _provider(region, name)
    if any(name in cluster.capacity_providers for cluster in region.clusters.values()):
        raise client_exception(
            "The specified capacity provider is in use and cannot be removed. Disassociate the capacity"
            " provider from all clusters and try again."
        )
    del region.capacity_providers[name]
    provider.description |= {"status": "INACTIVE", "updateStatus": "DELETE_COMPLETE"}
    return {"capacityProvider": _provider_view(region, provider, ())}


def _provider(region: EcsRegion, name: str) -> RegisteredProvider:
    provider = region.capacity_providers.get(provider_name(name))
    if provider is None:
        raise client_exception(
            f"The specified capacity provider '{name}' was not found. Specify a valid name or ARN and try"
            " again."
        )
    return provider
