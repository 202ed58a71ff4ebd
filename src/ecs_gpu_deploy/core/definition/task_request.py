"""RunTask's request: how and where tasks start, and what replaces parts of the task definition.

The members are those of the API Reference, "RunTask", "TaskOverride" and "NetworkConfiguration".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

from ecs_gpu_deploy.core.capacity.gpus import GpuRequest
from ecs_gpu_deploy.core.definition.container_overrides import ContainerOverride
from ecs_gpu_deploy.core.definition.task_definition import container_named
from ecs_gpu_deploy.core.text import nearest
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


_MOST_WEIGHT: Final = 1000
_MOST_BASE: Final = 100_000


def strategy_problem(shares: Sequence[CapacityShare]) -> str:
    """Return why ECS takes no strategy of these *shares*, "" where it may: a sentence without its subject.

    Source: API Reference, CapacityProviderStrategyItem ("weight", "base").
    """
    for share in shares:
        name = f"{share.capacity_provider[:60]!r}"
        if share.weight > _MOST_WEIGHT:
            return f"gives {name} the weight {share.weight}: the most is {_MOST_WEIGHT}."
        if share.base > _MOST_BASE:
            return f"gives {name} the base {share.base}: the most is {_MOST_BASE}."
    if sum(share.base > 0 for share in shares) > 1:
        return "gives more than one capacity provider a base: ECS takes one."
    if len(shares) > 1 and not any(share.weight for share in shares):
        return "gives none of its capacity providers a weight above 0."
    return ""


_MEMBERS: Final[Mapping[str, type]] = {
    **dict.fromkeys(("kmsKeyId", "volumeType", "snapshotId", "filesystemType"), str),
    **dict.fromkeys(("sizeInGiB", "volumeInitializationRate", "iops", "throughput"), int),
    "encrypted": bool,
    "tagSpecifications": list,
}
_OF_TASKS_ALONE: Final[Mapping[str, type]] = {"terminationPolicy": dict}
_KINDS: Final = {
    str: "a text",
    int: "a whole number of 1 or more",
    bool: "true or false",
    list: "a list",
    dict: "a mapping",
}


def volume_problem(settings: Mapping[str, object], *, of_service: bool) -> str:
    """Return why the *settings* of a volume are none of ECS's: a sentence without its subject, or "".

    *of_service*: a service's volume goes with its task, so it has no termination policy.
    Source: API Reference, TaskManagedEBSVolumeConfiguration and ServiceManagedEBSVolumeConfiguration.
    """
    known = _MEMBERS if of_service else {**_MEMBERS, **_OF_TASKS_ALONE}
    for name, value in settings.items():
        if name not in known:
            what = "only a task's volume takes" if name in _OF_TASKS_ALONE else "ECS does not know"
            meant = "" if name in _OF_TASKS_ALONE else nearest(name, known, cutoff=0.5)
            return f"has {name[:60]!r}, which {what}." + (f" Did you mean {meant}?" if meant else "")
        kind = known[name]
        is_number = isinstance(value, int) and not isinstance(value, bool) and value > 0
        if not isinstance(value, kind) or (kind is int and not is_number):
            return f"has {name}: {str(value)[:60]!r}, which is not {_KINDS[kind]}."
        if isinstance(value, list) and not all(
            isinstance(item, dict) and _is_of_texts(item) for item in value
        ):
            return f"has {name} that are no mappings of texts: put numbers in quotes."
    if not of_service and any(map(_takes_from_service, _tag_specifications(settings))):
        return "has tagSpecifications with propagateTags: SERVICE, which only a service's volume takes."
    if not settings.get("sizeInGiB") and not settings.get("snapshotId"):
        return "has neither sizeInGiB nor snapshotId."
    return ""


def _tag_specifications(settings: Mapping[str, object]) -> list[dict[str, Any]]:
    given = settings.get("tagSpecifications")
    return [item for item in given if isinstance(item, dict)] if isinstance(given, list) else []


def _takes_from_service(specification: Mapping[str, Any]) -> bool:
    """Say whether a volume's tags are to be those of its service (API Reference, EBSTagSpecification)."""
    return specification.get("propagateTags") == "SERVICE"


def _is_of_texts(value: object) -> bool:
    match value:
        case dict():
            return all(map(_is_of_texts, value.values()))
        case list():
            return all(map(_is_of_texts, value))
        case _:
            return isinstance(value, str)


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

    def of_task(self) -> Self:
        """Return it as RunTask takes it: a task has no service whose tags its volume could have.

        Source: API Reference, EBSTagSpecification, "propagateTags".
        """
        given = _tag_specifications(self.settings)
        if not any(map(_takes_from_service, given)):
            return self
        own = [
            {name: value for name, value in each.items() if name != "propagateTags"}
            if _takes_from_service(each)
            else each
            for each in given
        ]
        settings = {name: value for name, value in self.settings.items() if name != "tagSpecifications"}
        kept = [each for each in own if each.keys() - {"resourceType"}]
        return replace(self, settings=settings | ({"tagSpecifications": kept} if kept else {}))

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
            "volumeConfigurations": [self.volume.of_task().to_api()] if self.volume else [],
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
