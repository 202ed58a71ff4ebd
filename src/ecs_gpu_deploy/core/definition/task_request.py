"""RunTask's request: how and where tasks start, and what replaces parts of the task definition.

The members are those of the API Reference, "RunTask", "TaskOverride" and "NetworkConfiguration".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from ecs_gpu_deploy.core.capacity.gpus import GpuRequest
from ecs_gpu_deploy.core.definition.container_overrides import ContainerOverride
from ecs_gpu_deploy.core.definition.task_definition import container_named
from ecs_gpu_deploy.errors import InvalidInput


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOverrides:
    """What RunTask replaces in the task definition; None or empty leaves it as it is.

    The container's sizes are CPU units and MiB; the task's are texts, as the API has them. `containers` are
    what is replaced in others, or in the same one where the rest is empty.
    """

    container: str
    command: tuple[str, ...] | None
    environment: Mapping[str, str]
    container_cpu: int | None
    container_memory: int | None
    container_memory_reservation: int | None
    gpu: GpuRequest | None
    cpu: str
    memory: str
    task_role_arn: str
    execution_role_arn: str
    containers: tuple[ContainerOverride, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityShare:
    """A capacity provider: its weight among the others, and how many tasks it gets before weights count."""

    capacity_provider: str
    weight: int
    base: int = 0

    def to_api(self) -> dict[str, Any]:
        """Write CapacityProviderStrategyItem."""
        base = {"base": self.base} if self.base else {}
        return {"capacityProvider": self.capacity_provider, "weight": self.weight, **base}


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskVolume:
    """An EBS volume that ECS makes for each task's volume `name` of the task definition, with `role_arn`.

    `settings` are the other members of `managedEBSVolume`, as the API has them.
    """

    name: str
    role_arn: str
    settings: Mapping[str, object]

    def to_api(self) -> dict[str, Any]:
        """Write TaskVolumeConfiguration, or ServiceVolumeConfiguration."""
        return {"name": self.name, "managedEBSVolume": {"roleArn": self.role_arn, **self.settings}}

    @classmethod
    def from_api(cls, api: Mapping[str, Any]) -> Self:
        """Read ServiceVolumeConfiguration: what a task of the service gets."""
        settings = dict(api.get("managedEBSVolume") or {})
        return cls(name=str(api.get("name")), role_arn=str(settings.pop("roleArn", "")), settings=settings)

    def check(self, definition: Mapping[str, Any]) -> None:
        """Raise InvalidInput where the raw *definition* leaves no volume of this name to the launch.

        Source: API Reference, Volume, "configuredAtLaunch".
        """
        late = late_volumes(definition)
        if self.name not in late:
            has = f"It has {', '.join(late)}." if late else "It has none with configuredAtLaunch: true."
            raise InvalidInput(
                f"volume is for {self.name[:60]!r}, and the task definition leaves no volume of that name to "
                "the launch.",
                hint=has,
            )


def late_volumes(definition: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the volumes that a raw task definition leaves to the launch.

    Source: API Reference, Volume, "configuredAtLaunch".
    """
    volumes = definition.get("volumes") or ()
    return tuple(str(each.get("name")) for each in volumes if each.get("configuredAtLaunch") is True)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRequest:
    """What RunTask is to start, without cluster, count and client token.

    `strategy`, `network` (NetworkConfiguration) and `overrides` (TaskOverride) are as the API has them. Where
    neither a launch type nor a strategy is given, the cluster's default counts.
    """

    task_definition: str
    launch_type: str = ""
    strategy: Sequence[Mapping[str, Any]] = ()
    network: Mapping[str, Any] = field(default_factory=dict)
    overrides: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    volume: TaskVolume | None = None
    propagate_tags: str = ""
    managed_tags: bool | None = None
    started_by: str = ""

    @property
    def providers(self) -> tuple[str, ...]:
        """Return the capacity providers that the strategy names."""
        return tuple(str(item["capacityProvider"]) for item in self.strategy)

    def to_api(self) -> dict[str, Any]:
        """Write RunTask's parameters."""
        members: dict[str, Any] = {
            "launchType": self.launch_type,
            "capacityProviderStrategy": [dict(item) for item in self.strategy],
            "networkConfiguration": self.network,
            "overrides": self.overrides,
            "tags": [{"key": key, "value": value} for key, value in self.tags.items()],
            "volumeConfigurations": [self.volume.to_api()] if self.volume else [],
            "propagateTags": self.propagate_tags,
            "startedBy": self.started_by,
        }
        return {
            "taskDefinition": self.task_definition,
            **{member: value for member, value in members.items() if value},
            **({} if self.managed_tags is None else {"enableECSManagedTags": self.managed_tags}),
        }


def awsvpc_of(
    given: Mapping[str, Any] | None,
    *,
    subnets: Sequence[str],
    security_groups: Sequence[str],
    public_ip: bool,
) -> dict[str, Any]:
    """Return the NetworkConfiguration *given* (raw) with what replaces parts of it; empty without subnets."""
    members = dict((given or {}).get("awsvpcConfiguration") or {})
    if subnets:
        members["subnets"] = list(subnets)
    if security_groups:
        members["securityGroups"] = list(security_groups)
    if public_ip:
        members["assignPublicIp"] = "ENABLED"
    return {"awsvpcConfiguration": members} if members.get("subnets") else {}


def overrides_of(asked: TaskOverrides, definition: Mapping[str, Any]) -> dict[str, Any]:
    """Return the TaskOverride of what is *asked* over a raw task definition.

    InvalidInput where it names a container that is not there.
    """
    sizes = {
        "cpu": asked.container_cpu,
        "memory": asked.container_memory,
        "memoryReservation": asked.container_memory_reservation,
    }
    main = ContainerOverride(
        container=asked.container,
        command=asked.command,
        environment=asked.environment,
        sizes={member: size for member, size in sizes.items() if size is not None},
        gpu=asked.gpu,
    )
    given = [each for each in (main, *asked.containers) if each.to_api()]
    named = [container_named(definition, each.container) for each in given]
    twice = next((name for name in named if named.count(name) > 1), "")
    if twice:
        raise InvalidInput(
            f"The container {twice!r} is in container-overrides, and the other inputs are for it too.",
            hint="Say it in one of the two places.",
        )
    overrides: dict[str, Any] = {}
    if given:
        overrides["containerOverrides"] = [
            {"name": name, **each.to_api()} for name, each in zip(named, given, strict=True)
        ]
    of_task = {
        "cpu": asked.cpu,
        "memory": asked.memory,
        "taskRoleArn": asked.task_role_arn,
        "executionRoleArn": asked.execution_role_arn,
    }
    return overrides | {member: value for member, value in of_task.items() if value}
