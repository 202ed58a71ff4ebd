"""What a task asks of a container instance, and whether one instance has it.

Counts are per instance, never summed over the cluster: two instances with half a GPU job's room each hold
nothing. Sources: aws-facts A5 and A6; AWS pages "Amazon ECS task definitions for GPU workloads", "Amazon ECS
service event messages", "API failure reasons".
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ecs_gpu_deploy.core.cluster_query import QuerySubject, predicate_of

# Attributes that describe what the agent can do; every instance has them unless it is said to lack one.
CAPABILITY_PREFIXES = ("com.amazonaws.ecs.capability.", "ecs.capability.")
# GPU fractions are decimals such as 0.125; sums of them must not miss a fit by a rounding error.
FRACTION_SLACK = 1e-9


class GpuKind(StrEnum):
    """The four ways to ask for GPUs (aws-facts A6)."""

    NONE = "none"
    COUNT = "count"
    FRACTION = "fraction"
    ALL = "all"
    MPS = "mps"


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuRequest:
    """What one container asks: a number of whole GPUs, a fraction of one, all of them, or an MPS share in MiB."""

    kind: GpuKind = GpuKind.NONE
    count: int = 0
    fraction: float = 0.0
    memory_mib: int = 0


NO_GPU = GpuRequest()


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPort:
    """A port of the host: 0 means any dynamic port."""

    port: int
    protocol: str = "tcp"
    container_port: int = 0
    container_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """What one task needs of one instance: CPU units, MiB of memory, GPUs per container, ports, attributes."""

    cpu: int = 0
    memory: int = 0
    gpus: tuple[tuple[str, GpuRequest], ...] = ()
    ports: tuple[HostPort, ...] = ()
    attributes: tuple[tuple[str, str | None], ...] = ()
    expressions: tuple[str, ...] = ()
    network_interfaces: int = 0

    @property
    def gpu_count(self) -> float:
        """Count the GPUs for display and packing: fractions as such, ALL and MPS as one."""
        total = 0.0
        for _, request in self.gpus:
            match request.kind:
                case GpuKind.COUNT:
                    total += request.count
                case GpuKind.FRACTION:
                    total += request.fraction
                case GpuKind.ALL | GpuKind.MPS:
                    total += 1
                case GpuKind.NONE:
                    pass
        return total


class Shortfall(StrEnum):
    """Why an instance cannot take a task: AWS's failure reasons (page "API failure reasons")."""

    INACTIVE = "INACTIVE"
    AGENT = "AGENT"
    ATTRIBUTE = "ATTRIBUTE"
    MEMBER_OF = "MemberOf placement constraint unsatisfied"
    DISTINCT = "DistinctInstance placement constraint unsatisfied."
    GPU = "RESOURCE:GPU"
    MEMORY = "RESOURCE:MEMORY"
    CPU = "RESOURCE:CPU"
    PORTS = "RESOURCE:PORTS"
    ENI = "RESOURCE:ENI"


@dataclass(slots=True, kw_only=True)
class Room:
    """What is free on one instance. `gpus` maps GPU id to its free fraction (1.0 = untouched)."""

    cpu: int
    memory: int
    gpus: dict[str, float] = field(default_factory=dict)
    gpu_memory: dict[str, int] = field(default_factory=dict)
    mps_gpus: set[str] = field(default_factory=set)
    used_ports: set[tuple[int, str]] = field(default_factory=set)
    network_interfaces: int = 1_000
    attributes: Mapping[str, str | None] = field(default_factory=dict)
    missing_attributes: frozenset[str] = frozenset()
    active: bool = True
    agent_connected: bool = True
    ec2_instance_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """What a task took of an instance, to be given back whole."""

    cpu: int
    memory: int
    gpus: tuple[tuple[str, GpuRequest, tuple[str, ...]], ...]
    ports: tuple[tuple[HostPort, int], ...]
    network_interfaces: int


def requirement_of(
    task_definition: Mapping[str, Any],
    *,
    constraints: Iterable[Mapping[str, Any]] = (),
    overrides: Mapping[str, Any] | None = None,
) -> Requirement:
    """Read what a raw task definition asks of an instance, with a service's or RunTask's own constraints."""
    raise NotImplementedError


def room_of(container_instance: Mapping[str, Any]) -> Room:
    """Read the free room of a raw DescribeContainerInstances entry."""
    raise NotImplementedError


def shortfalls(requirement: Requirement, room: Room) -> tuple[Shortfall, ...]:
    """List all that an instance lacks for a task, gravest first; empty means that it fits."""
    raise NotImplementedError


def fits(requirement: Requirement, room: Room) -> bool:
    """Tell whether one more such task fits on that instance now."""
    raise NotImplementedError


def allocate(requirement: Requirement, room: Room) -> Allocation:
    """Take a fitting task's share out of the room; the GPU ids and host ports are chosen here."""
    raise NotImplementedError


def release(allocation: Allocation, room: Room) -> None:
    """Give a task's share back."""
    raise NotImplementedError
