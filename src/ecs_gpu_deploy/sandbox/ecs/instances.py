"""The operations on container instances and their attributes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ecs_gpu_deploy.core.capacity.cluster_query import QuerySubject, predicate_of
from ecs_gpu_deploy.ecs_model.state import Instance, InstanceTemplate
from ecs_gpu_deploy.sandbox.ecs.pages import page_of
from ecs_gpu_deploy.sandbox.ecs.region import Cluster, EcsRegion, Request, Response, at_most, missing
from ecs_gpu_deploy.sandbox.ecs.task_views import instance_attributes, instance_view
from ecs_gpu_deploy.sandbox.protocol.api_errors import ApiError, invalid_parameter


def list_container_instances(region: EcsRegion, request: Request) -> Response:
    """List the ARNs of container instances by status and by a cluster query."""
    cluster = region.cluster(request)
    instances = list(cluster.scheduler.instances.values())
    if status := request.get("status"):
        instances = [instance for instance in instances if instance.status == status]
    if query := request.get("filter"):
        try:
            matches = predicate_of(query)
        except ValueError as error:
            raise invalid_parameter(f"Invalid filter: {error}") from error
        instances = [instance for instance in instances if matches(_subject(instance))]
    page, token = page_of([instance.arn for instance in instances], request)
    return {"containerInstanceArns": list(page), **token}


def _subject(instance: Instance) -> QuerySubject:
    return QuerySubject(
        attributes={one["name"]: one.get("value") for one in instance_attributes(instance)},
        ec2_instance_id=instance.ec2_instance_id,
        agent_connected=instance.agent_connected,
    )


def describe_container_instances(region: EcsRegion, request: Request) -> Response:
    """Describe up to 100 container instances."""
    cluster = region.cluster(request)
    found, failures = [], []
    for name in at_most(request, "containerInstances", 100, "ContainerInstances"):
        instance = region.find_instance(cluster, name)
        if instance is None:
            failures.append(missing(_instance_arn(region, cluster, name)))
        else:
            found.append(instance_view(region, instance, request.get("include") or ()))
    return {"containerInstances": found, "failures": failures}


def _instance_arn(region: EcsRegion, cluster: Cluster, name: str) -> str:
    return name if name.startswith("arn:") else region.arn(f"container-instance/{cluster.name}/{name}")


def update_container_instances_state(region: EcsRegion, request: Request) -> Response:
    """Set up to 10 container instances ACTIVE or DRAINING."""
    cluster = region.cluster(request)
    status = request["status"]
    if status not in ("ACTIVE", "DRAINING"):
        raise invalid_parameter("Container instance status should be one of [ACTIVE, DRAINING].")
    found, failures = [], []
    for name in at_most(request, "containerInstances", 10, "ContainerInstances"):
        instance = region.find_instance(cluster, name)
        if instance is None:
            failures.append(missing(_instance_arn(region, cluster, name)))
        else:
            instance = cluster.scheduler.set_instance_status(instance.arn, status, region.now)
            found.append(instance_view(region, instance, ()))
    return {"containerInstances": found, "failures": failures}


def register_container_instance(region: EcsRegion, request: Request) -> Response:
    """Register a container instance with the resources that its agent names."""
    cluster = region.cluster(request)
    totals = {resource["name"]: resource for resource in request.get("totalResources") or ()}
    template = InstanceTemplate(
        instance_type="external",
        cpu=int(totals.get("CPU", {}).get("integerValue", 2048)),
        memory=int(totals.get("MEMORY", {}).get("integerValue", 3884)),
        gpus=len(totals.get("GPU", {}).get("stringSetValue", ())),
        attributes={one["name"]: one.get("value") for one in request.get("attributes") or ()},
    )
    instance = cluster.scheduler.add_instance(template, now=region.now)
    region.set_tags(instance.arn, request.get("tags"))
    return {"containerInstance": instance_view(region, instance, ("TAGS",))}


def deregister_container_instance(region: EcsRegion, request: Request) -> Response:
    """Deregister a container instance; with tasks on it only by force."""
    cluster = region.cluster(request)
    instance = region.instance(cluster, request["containerInstance"])
    if instance.tasks and not request.get("force"):
        raise invalid_parameter("Found running tasks on the instance.")
    view = instance_view(region, instance, ("TAGS",))
    cluster.scheduler.terminate_instance(instance.arn, region.now, reason="terminated")
    return {"containerInstance": view | {"status": "INACTIVE", "agentConnected": False}}


def put_attributes(region: EcsRegion, request: Request) -> Response:
    """Set up to 10 custom attributes of container instances."""
    cluster = region.cluster(request)
    attributes = at_most(request, "attributes", 10, "Attributes")
    for attribute in attributes:
        _attribute_target(region, cluster, attribute).attributes[attribute["name"]] = attribute.get("value")
    return {"attributes": attributes}


def delete_attributes(region: EcsRegion, request: Request) -> Response:
    """Remove up to 10 custom attributes of container instances."""
    cluster = region.cluster(request)
    attributes = at_most(request, "attributes", 10, "Attributes")
    for attribute in attributes:
        _attribute_target(region, cluster, attribute).attributes.pop(attribute["name"], None)
    return {"attributes": attributes}


def _attribute_target(region: EcsRegion, cluster: Cluster, attribute: Mapping[str, Any]) -> Instance:
    target = str(attribute.get("targetId") or "")
    instance = region.find_instance(cluster, target)
    if instance is None:
        raise ApiError("TargetNotFoundException", f"The specified target {target} was not found.")
    return instance


def list_attributes(region: EcsRegion, request: Request) -> Response:
    """List the attributes of container instances by name and value."""
    cluster = region.cluster(request)
    listed = [
        attribute | {"targetId": instance.arn}
        for instance in cluster.scheduler.instances.values()
        for attribute in instance_attributes(instance)
        if (not request.get("attributeName") or attribute["name"] == request["attributeName"])
        and (not request.get("attributeValue") or attribute.get("value") == request["attributeValue"])
    ]
    page, token = page_of(listed, request)
    return {"attributes": list(page), **token}
