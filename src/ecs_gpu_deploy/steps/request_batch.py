"""From the request of run-task to RunTask's parameters: overrides, network, where to run, tags, volume."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ecs_gpu_deploy.core.definition.task_definition import container_named
from ecs_gpu_deploy.edges.aws.ecs_tasks import LaunchSettings
from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.inputs.requests import RunTaskRequest, TaskOverrides


def run_task_parameters(
    request: RunTaskRequest, launch: LaunchSettings | None, definition: Mapping[str, Any]
) -> dict[str, Any]:
    """Return RunTask's parameters without cluster, count, token and mark.

    *launch* is how the service would start its tasks; *definition* the raw task definition. InvalidInput
    names the input that does not go with it.
    """
    parameters: dict[str, Any] = {"taskDefinition": definition.get("taskDefinitionArn", "")}
    parameters |= _placement(request, launch)
    network = _network(request, launch, definition)
    if network:
        parameters["networkConfiguration"] = network
    overrides = _overrides(request.overrides, definition)
    if overrides:
        parameters["overrides"] = overrides
    if request.tags:
        parameters["tags"] = [{"key": key, "value": value} for key, value in request.tags.items()]
    if request.volume:
        volume = request.volume
        managed = {"roleArn": volume.role_arn, **volume.settings}
        parameters["volumeConfigurations"] = [{"name": volume.name, "managedEBSVolume": managed}]
    return parameters


def _placement(request: RunTaskRequest, launch: LaunchSettings | None) -> dict[str, Any]:
    if request.strategy:
        return {
            "capacityProviderStrategy": [
                {"capacityProvider": share.capacity_provider, "weight": share.weight}
                for share in request.strategy
            ]
        }
    if request.launch_type:
        return {"launchType": request.launch_type}
    if launch is None:
        return {}
    if launch.strategy:
        return {"capacityProviderStrategy": [dict(item) for item in launch.strategy]}
    return {"launchType": launch.launch_type} if launch.launch_type else {}


def _network(
    request: RunTaskRequest, launch: LaunchSettings | None, definition: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the network configuration, which awsvpc needs and any other network mode refuses."""
    if definition.get("networkMode") != "awsvpc":
        if request.subnets or request.security_groups:
            raise InvalidInput(
                f"The task definition has the network mode {definition.get('networkMode') or 'bridge'}, "
                "which takes no subnets and security-groups.",
                hint="Leave them out, or run a task definition with awsvpc.",
            )
        return {}
    copied = dict(((launch.network if launch else None) or {}).get("awsvpcConfiguration") or {})
    if request.subnets:
        copied["subnets"] = list(request.subnets)
    if request.security_groups:
        copied["securityGroups"] = list(request.security_groups)
    if request.assign_public_ip:
        copied["assignPublicIp"] = "ENABLED"
    if not copied.get("subnets"):
        raise InvalidInput(
            "The task definition has the network mode awsvpc, and nothing says in which subnets to run.",
            hint="Set subnets (flag --subnets) and security-groups, or service to take them from a service.",
        )
    return {"awsvpcConfiguration": copied}


def _overrides(asked: TaskOverrides, definition: Mapping[str, Any]) -> dict[str, Any]:
    container: dict[str, Any] = {}
    if asked.command is not None:
        container["command"] = list(asked.command)
    if asked.environment:
        container["environment"] = [{"name": key, "value": value} for key, value in asked.environment.items()]
    sizes = {
        "cpu": asked.container_cpu,
        "memory": asked.container_memory,
        "memoryReservation": asked.container_memory_reservation,
    }
    container |= {member: size for member, size in sizes.items() if size is not None}
    if asked.gpu is not None:
        requirement = asked.gpu.requirement
        container["resourceRequirements"] = [requirement] if requirement else []
    overrides: dict[str, Any] = {}
    if container:
        name = container_named(definition, asked.container)
        overrides["containerOverrides"] = [{"name": name, **container}]
    of_task = {
        "cpu": asked.cpu,
        "memory": asked.memory,
        "taskRoleArn": asked.task_role_arn,
        "executionRoleArn": asked.execution_role_arn,
    }
    return overrides | {member: value for member, value in of_task.items() if value}
