"""From inputs to RunTask's request: overrides, network, where to run, tags, volume."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ecs_gpu_deploy.core.capacity.gpus import GpuRequest
from ecs_gpu_deploy.core.definition.task_definition import container_named
from ecs_gpu_deploy.edges.aws.ecs_tasks import LaunchSettings
from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.inputs.settings import Settings

_STARTED_BY = re.compile(r"[A-Za-z0-9/_-]{1,128}")
_TASK_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(?:vcpu|gb)", re.IGNORECASE)


def request_of(
    settings: Settings, launch: LaunchSettings | None, definition: Mapping[str, Any]
) -> dict[str, Any]:
    """Return RunTask's request without cluster, count and token.

    *launch* is how the service would start its tasks; *definition* the raw task definition, which may be
    empty to check the inputs alone. InvalidInput names the flag that is wrong.
    """
    request: dict[str, Any] = {}
    if definition:
        request["taskDefinition"] = definition.get("taskDefinitionArn", "")
    request |= _placement(settings, launch)
    network = _network(settings, launch, definition)
    if network:
        request["networkConfiguration"] = network
    overrides = _overrides(settings, definition)
    if overrides:
        request["overrides"] = overrides
    if settings.tags:
        request["tags"] = [{"key": k, "value": v} for k, v in _set(settings.tags, "tags").items()]
    if settings.volume:
        request["volumeConfigurations"] = [_volume(settings.volume)]
    if settings.started_by and not _STARTED_BY.fullmatch(settings.started_by):
        raise InvalidInput(
            f"started-by is {settings.started_by[:60]!r}.",
            hint="At most 128 letters, digits, hyphens, slashes and underscores are meant.",
        )
    return request


def _placement(settings: Settings, launch: LaunchSettings | None) -> dict[str, Any]:
    if settings.capacity_providers and settings.launch_type:
        raise InvalidInput("launch-type and capacity-providers exclude each other.", hint="Leave one out.")
    if settings.capacity_providers:
        strategy = []
        for line in settings.capacity_providers:
            name, equals, weight = line.partition("=")
            if not name.strip() or (equals and not re.fullmatch(r"\s*\d{1,4}\s*", weight, re.ASCII)):
                raise InvalidInput(
                    f"capacity-providers has the line {line[:60]!r}.", hint="NAME or NAME=WEIGHT is meant."
                )
            strategy.append({"capacityProvider": name.strip(), "weight": int(weight) if equals else 1})
        return {"capacityProviderStrategy": strategy}
    if settings.launch_type:
        return {"launchType": settings.launch_type.upper()}
    if launch is None:
        return {}
    if launch.strategy:
        return {"capacityProviderStrategy": [dict(item) for item in launch.strategy]}
    return {"launchType": launch.launch_type} if launch.launch_type else {}


def _network(
    settings: Settings, launch: LaunchSettings | None, definition: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the network configuration, which awsvpc needs and any other network mode refuses."""
    if settings.security_groups and not settings.subnets and not settings.service:
        raise InvalidInput("security-groups without subnets.", hint="Give subnets as well, or service.")
    if not definition:
        return {}
    if definition.get("networkMode") != "awsvpc":
        if settings.subnets or settings.security_groups:
            raise InvalidInput(
                f"The task definition has the network mode {definition.get('networkMode') or 'bridge'}, "
                "which takes no subnets and security-groups.",
                hint="Leave them out, or run a task definition with awsvpc.",
            )
        return {}
    copied = dict(((launch.network if launch else None) or {}).get("awsvpcConfiguration") or {})
    if settings.subnets:
        copied["subnets"] = list(settings.subnets)
    if settings.security_groups:
        copied["securityGroups"] = list(settings.security_groups)
    if settings.assign_public_ip:
        copied["assignPublicIp"] = "ENABLED"
    if not copied.get("subnets"):
        raise InvalidInput(
            "The task definition has the network mode awsvpc, and nothing says in which subnets to run.",
            hint="Set subnets (flag --subnets) and security-groups, or service to take them from a service.",
        )
    return {"awsvpcConfiguration": copied}


def _overrides(settings: Settings, definition: Mapping[str, Any]) -> dict[str, Any]:
    container: dict[str, Any] = {}
    if settings.command_override is not None:
        container["command"] = list(settings.command_override)
    if settings.environment:
        values = _set(settings.environment, "environment")
        container["environment"] = [{"name": name, "value": value} for name, value in values.items()]
    container |= _given(
        cpu=settings.cpu, memory=settings.memory, memoryReservation=settings.memory_reservation
    )
    if settings.gpu is not None:
        requirement = GpuRequest.from_value(settings.gpu).requirement
        container["resourceRequirements"] = [requirement] if requirement else []
    overrides: dict[str, Any] = {}
    if container:
        name = container_named(definition, settings.container or "") if definition else ""
        overrides["containerOverrides"] = [{"name": name, **container}]
    return overrides | _given(
        cpu=settings.task_cpu and _units(settings.task_cpu),
        memory=settings.task_memory and _units(settings.task_memory),
        taskRoleArn=settings.task_role_arn,
        executionRoleArn=settings.execution_role_arn,
    )


def _given(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def _units(text: str) -> str:
    """Return a size in units or MiB: `4 vCPU` is 4096, `16 GB` is 16384."""
    match = _TASK_SIZE.fullmatch(text.strip())
    return str(round(float(match[1]) * 1024)) if match else text.strip()


def _set(assignments: Mapping[str, str | None], option: str) -> dict[str, str]:
    """Return the assignments; RunTask can add and replace, but not remove."""
    for name, value in assignments.items():
        if value is None:
            raise InvalidInput(
                f"{option} has {name!r} without a value, and run-task cannot remove anything.",
                hint=f"Write {name}=VALUE, or register a revision without it.",
            )
    return {name: value for name, value in assignments.items() if value is not None}


def _volume(settings: Mapping[str, Any]) -> dict[str, Any]:
    rest = dict(settings)
    name = rest.pop("name", None)
    if not isinstance(name, str) or not name or "roleArn" not in rest:
        raise InvalidInput(
            "volume needs name and roleArn.",
            hint="name is the volume's in the task definition (configuredAtLaunch), roleArn the role with "
            "which ECS manages EBS volumes.",
        )
    return {"name": name, "managedEBSVolume": rest}
