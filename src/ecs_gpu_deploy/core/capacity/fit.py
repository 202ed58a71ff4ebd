"""What a task asks of a container instance, and whether one instance has it.

Counts are per instance, never summed over the cluster: two instances with half a GPU job's room each hold
nothing. Sources: docs/aws-facts.md#rounding and #gpus-of-an-instance; AWS pages "Amazon ECS task definitions
for GPU workloads", "Amazon ECS service event messages", "Amazon ECS API failure reasons".
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ecs_gpu_deploy.core.capacity.cluster_query import QuerySubject, predicate_of
from ecs_gpu_deploy.core.capacity.gpus import GpuKind, GpuRequest, gpu_requests_of
from ecs_gpu_deploy.core.definition.sizes import cpu_units, memory_mib
from ecs_gpu_deploy.core.definition.task_definition import network_mode

# Attributes that describe what the agent can do: an instance of which none is known is taken to have all.
CAPABILITY_PREFIXES = ("com.amazonaws.ecs.capability.", "ecs.capability.")
ZONE = "ecs.availability-zone"
"""The attribute in which an instance names its Availability Zone."""
# What tells nothing of the agent: any agent runs a container with other values of these.
_NOT_ASKED_OF_AGENT = frozenset(
    {
        *("command", "cpu", "dockerLabels", "entryPoint", "environment", "essential", "memory"),
        *("memoryReservation", "name", "portMappings", "user", "workingDirectory"),
    }
)
_ASKED_OF_AGENT = (
    *(
        "networkMode",
        "requiresCompatibilities",
        "runtimePlatform",
        "volumes",
        "proxyConfiguration",
        "pidMode",
    ),
    *("ipcMode", "inferenceAccelerators", "ephemeralStorage", "enableFaultInjection"),
)
# GPU fractions are decimals such as 0.125; sums of them must not miss a fit by a rounding error.
FRACTION_SLACK = 1e-9
# The ephemeral range from which Docker takes dynamic host ports (AWS page "PortMapping").
FIRST_DYNAMIC_PORT = 32768


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPort:
    """A port of the host: 0 means any dynamic port."""

    port: int
    protocol: str = "tcp"
    container_port: int = 0
    container_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """What one task needs of one instance: CPU units, MiB, GPUs per container, ports, attributes.

    `zones` are the Availability Zones that its subnets lie in, empty where any will do.
    """

    cpu: int = 0
    memory: int = 0
    gpus: tuple[tuple[str, GpuRequest], ...] = ()
    ports: tuple[HostPort, ...] = ()
    attributes: tuple[tuple[str, str | None], ...] = ()
    expressions: tuple[str, ...] = ()
    network_interfaces: int = 0
    zones: tuple[str, ...] = ()

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
        return total


class Shortfall(StrEnum):
    """Why an instance cannot take a task: AWS's failure reasons (page "API failure reasons")."""

    INACTIVE = "INACTIVE"
    AGENT = "AGENT"
    ATTRIBUTE = "ATTRIBUTE"
    MEMBER_OF = "MemberOf placement constraint unsatisfied."
    LOCATION = "LOCATION"
    DISTINCT = "DistinctInstance placement constraint unsatisfied."
    GPU = "RESOURCE:GPU"
    MEMORY = "RESOURCE:MEMORY"
    CPU = "RESOURCE:CPU"
    PORTS = "RESOURCE:PORTS"
    ENI = "RESOURCE:ENI"


@dataclass(slots=True, kw_only=True)
class Room:
    """What is free on one instance. `gpus` maps GPU id to its free share, `gpu_capacity` to its whole one.

    A whole GPU is 1.0; an instance type with a part of a GPU (g6f, gr6f) has less.
    """

    cpu: int
    memory: int
    gpus: dict[str, float] = field(default_factory=dict)
    gpu_capacity: dict[str, float] = field(default_factory=dict)
    gpu_memory: dict[str, int] = field(default_factory=dict)
    mps_gpus: set[str] = field(default_factory=set)
    used_ports: set[tuple[int, str]] = field(default_factory=set)
    network_interfaces: int = 1_000
    attributes: Mapping[str, str | None] = field(default_factory=dict)
    missing_attributes: frozenset[str] = frozenset()
    active: bool = True
    agent_connected: bool = True
    ec2_instance_id: str = ""

    @property
    def free_gpus(self) -> tuple[str, ...]:
        """Name the GPUs that nobody uses."""
        return tuple(gpu for gpu in self.gpus if self._untouched(gpu))

    def _untouched(self, gpu: str) -> bool:
        return (
            gpu not in self.mps_gpus
            and self.gpus[gpu] >= self.gpu_capacity.get(gpu, 1.0) - FRACTION_SLACK
            and self.gpus[gpu] > 0
        )


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
    """Read what a raw task definition asks of an instance, with a service's or RunTask's own constraints.

    Raises ValueError with one sentence for a GPU value or a size that cannot be read.
    CPU is in units of 1/1024 vCPU, memory in MiB (API Reference, "ContainerDefinition").
    """
    overrides = overrides or {}
    container_overrides = {
        str(each.get("name")): each for each in overrides.get("containerOverrides", ()) if each.get("name")
    }
    containers = [
        {**container, **{key: value for key, value in override.items() if value is not None}}
        for container in task_definition.get("containerDefinitions", ())
        for override in (container_overrides.get(str(container.get("name")), {}),)
    ]
    cpu = _size(overrides.get("cpu") or task_definition.get("cpu"), cpu_units, "cpu")
    memory = _size(overrides.get("memory") or task_definition.get("memory"), memory_mib, "memory")
    if cpu is None:
        cpu = sum(int(container.get("cpu") or 0) for container in containers)
    if memory is None:
        # ECS reserves the soft limit where there is one, else the hard limit (page "ContainerDefinition").
        memory = sum(
            int(container.get("memoryReservation") or container.get("memory") or 0)
            for container in containers
        )
    mode = network_mode(task_definition)
    expressions = [
        str(constraint.get("expression"))
        for constraint in (*task_definition.get("placementConstraints", ()), *constraints)
        if constraint.get("type") == "memberOf" and constraint.get("expression")
    ]
    return Requirement(
        cpu=cpu,
        memory=memory,
        gpus=tuple(
            (str(container.get("name")), request)
            for container in containers
            for request in gpu_requests_of(container)
        ),
        ports=_host_ports(containers, mode),
        attributes=required_attributes(task_definition),
        expressions=tuple(expressions),
        network_interfaces=1 if mode == "awsvpc" else 0,
    )


def unreadable_of(
    task_definition: Mapping[str, Any], constraints: Iterable[Mapping[str, Any]]
) -> tuple[str, ...]:
    """Return the placement expressions that AWS takes and that cannot be weighed here, such as on groups.

    Source: AWS page "Create expressions to define container instances for Amazon ECS tasks".
    """
    found = []
    for each in (*(task_definition.get("placementConstraints") or ()), *constraints):
        if each.get("type") == "memberOf" and each.get("expression"):
            try:
                predicate_of(str(each["expression"]))
            except ValueError:
                found.append(str(each["expression"]))
    return tuple(dict.fromkeys(found))


def without_constraints(
    task_definition: Mapping[str, Any], expressions: Collection[str]
) -> Mapping[str, Any]:
    """Return the raw task definition without the placement constraints of these expressions."""
    if not expressions:
        return task_definition
    kept = [
        each
        for each in task_definition.get("placementConstraints") or ()
        if each.get("expression") not in expressions
    ]
    return {**task_definition, "placementConstraints": kept}


def with_attributes(task_definition: Mapping[str, Any], running: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a definition with the `requiresAttributes` that AWS will work out when it is registered.

    Those are known of the *running* one, and the same where both ask the same of the agent. Where they do
    not, the definition stays without: what an instance then lacks cannot be told.
    """
    if task_definition.get("requiresAttributes") or _asked_of_agent(task_definition) != _asked_of_agent(
        running
    ):
        return task_definition
    return {**task_definition, "requiresAttributes": running.get("requiresAttributes") or []}


def _asked_of_agent(task_definition: Mapping[str, Any]) -> Any:
    """Return what of a definition may make AWS require something of the agent."""
    return (
        bool(task_definition.get("taskRoleArn")),
        bool(task_definition.get("executionRoleArn")),
        [task_definition.get(name) or None for name in _ASKED_OF_AGENT],
        [
            {name: value for name, value in container.items() if value and name not in _NOT_ASKED_OF_AGENT}
            | {"image": ".dkr.ecr." in str(container.get("image"))}
            for container in task_definition.get("containerDefinitions") or ()
        ],
    )


def required_attributes(task_definition: Mapping[str, Any]) -> tuple[tuple[str, str | None], ...]:
    """Return name and value of each of `requiresAttributes`, which a registered revision has."""
    return tuple(
        (str(attribute.get("name")), attribute.get("value"))
        for attribute in task_definition.get("requiresAttributes") or ()
    )


def room_of(container_instance: Mapping[str, Any]) -> Room:
    """Read the free room of a raw DescribeContainerInstances entry.

    `remainingResources` lists the ids of free GPUs, but the ports in use (page "Resource").
    """
    remaining = {str(each.get("name")): each for each in container_instance.get("remainingResources") or ()}
    registered = {str(each.get("name")): each for each in container_instance.get("registeredResources") or ()}
    free = set(remaining.get("GPU", {}).get("stringSetValue") or ())
    known = list(registered.get("GPU", {}).get("stringSetValue") or ()) or sorted(free)
    room = Room(
        cpu=int(remaining.get("CPU", {}).get("integerValue") or 0),
        memory=int(remaining.get("MEMORY", {}).get("integerValue") or 0),
        gpus={gpu: 1.0 if gpu in free else 0.0 for gpu in known},
        gpu_capacity=dict.fromkeys(known, 1.0),
        attributes={
            str(each.get("name")): each.get("value") for each in container_instance.get("attributes") or ()
        },
        active=container_instance.get("status", "ACTIVE") == "ACTIVE",
        agent_connected=bool(container_instance.get("agentConnected", True)),
        ec2_instance_id=str(container_instance.get("ec2InstanceId") or ""),
    )
    for name, protocol in (("PORTS", "tcp"), ("PORTS_UDP", "udp")):
        for port in remaining.get(name, {}).get("stringSetValue") or ():
            room.used_ports.add((int(port), protocol))
    for device in container_instance.get("gpuDevices") or ():
        gpu = str(device.get("gpuId"))
        room.gpu_memory[gpu] = int(device.get("remainingMemoryInMiB") or 0)
        if device.get("sharingMode") == "NVIDIA_MPS":
            room.mps_gpus.add(gpu)
    return room


def shortfalls(requirement: Requirement, room: Room) -> tuple[Shortfall, ...]:
    """List all that an instance lacks for a task, gravest first; empty means that it fits.

    Source: docs/aws-facts.md#runtask-failures for the words; their order is ours.
    """
    found = []
    if not room.active:
        found.append(Shortfall.INACTIVE)
    if not room.agent_connected:
        found.append(Shortfall.AGENT)
    if not _has_attributes(requirement, room):
        found.append(Shortfall.ATTRIBUTE)
    if not _satisfies(requirement, room):
        found.append(Shortfall.MEMBER_OF)
    if not _is_reached(requirement, room):
        found.append(Shortfall.LOCATION)
    if _gpu_assignment(requirement, room) is None:
        found.append(Shortfall.GPU)
    if requirement.memory > room.memory:
        found.append(Shortfall.MEMORY)
    if requirement.cpu > room.cpu:
        found.append(Shortfall.CPU)
    if any(port.port and (port.port, port.protocol) in room.used_ports for port in requirement.ports):
        found.append(Shortfall.PORTS)
    if requirement.network_interfaces > room.network_interfaces:
        found.append(Shortfall.ENI)
    return tuple(found)


def fits(requirement: Requirement, room: Room) -> bool:
    """Tell whether one more such task fits on that instance now."""
    # The cheap questions first: this runs for each instance of a cluster.
    if (
        requirement.cpu > room.cpu
        or requirement.memory > room.memory
        or not room.active
        or not room.agent_connected
        or requirement.network_interfaces > room.network_interfaces
    ):
        return False
    if requirement.gpus and _gpu_assignment(requirement, room) is None:
        return False
    if any(port.port and (port.port, port.protocol) in room.used_ports for port in requirement.ports):
        return False
    return (
        _is_reached(requirement, room)
        and _has_attributes(requirement, room)
        and _satisfies(requirement, room)
    )


def allocate(requirement: Requirement, room: Room) -> Allocation:
    """Take a fitting task's share out of the room; the GPU ids and host ports are chosen here.

    Raises ValueError where the task does not fit: ask `fits` first.
    """
    gpus = _gpu_assignment(requirement, room)
    if gpus is None:
        raise ValueError("The task's GPUs are not free on this instance.")
    room.cpu -= requirement.cpu
    room.memory -= requirement.memory
    room.network_interfaces -= requirement.network_interfaces
    for _, request, ids in gpus:
        for gpu in ids:
            _take_gpu(room, gpu, request)
    ports = []
    dynamic = FIRST_DYNAMIC_PORT
    for port in requirement.ports:
        number = port.port
        if not number:
            while (dynamic, port.protocol) in room.used_ports:
                dynamic += 1
            number = dynamic
        room.used_ports.add((number, port.protocol))
        ports.append((port, number))
    return Allocation(
        cpu=requirement.cpu,
        memory=requirement.memory,
        gpus=gpus,
        ports=tuple(ports),
        network_interfaces=requirement.network_interfaces,
    )


def release(allocation: Allocation, room: Room) -> None:
    """Give a task's share back."""
    room.cpu += allocation.cpu
    room.memory += allocation.memory
    room.network_interfaces += allocation.network_interfaces
    for port, number in allocation.ports:
        room.used_ports.discard((number, port.protocol))
    for _, request, ids in allocation.gpus:
        for gpu in ids:
            _return_gpu(room, gpu, request)


def _size(value: Any, read: Callable[[object], int | None], what: str) -> int | None:
    if value in {None, ""}:
        return None
    if (size := read(value)) is None:
        raise ValueError(f"The task's {what} {str(value)!r} is not a number, with or without its unit.")
    return size


def _host_ports(containers: Iterable[Mapping[str, Any]], mode: str) -> tuple[HostPort, ...]:
    if mode in {"awsvpc", "none"}:
        return ()
    return tuple(
        HostPort(
            port=int(mapping.get("containerPort") or 0)
            if mode == "host"
            else int(mapping.get("hostPort") or 0),
            protocol=str(mapping.get("protocol") or "tcp"),
            container_port=int(mapping.get("containerPort") or 0),
            container_name=str(container.get("name")),
        )
        for container in containers
        for mapping in container.get("portMappings") or ()
    )


def _has_attributes(requirement: Requirement, room: Room) -> bool:
    return all(_has_attribute(name, value, room) for name, value in requirement.attributes)


def _has_attribute(name: str, value: str | None, room: Room) -> bool:
    if name in room.missing_attributes:
        return False
    if name not in room.attributes:
        # An instance that lists some of its agent's capabilities lists all of them.
        lists = any(each.startswith(CAPABILITY_PREFIXES) for each in room.attributes)
        return name.startswith(CAPABILITY_PREFIXES) and not lists
    return value is None or room.attributes[name] == value


def _satisfies(requirement: Requirement, room: Room) -> bool:
    return all(_meets(expression, room) for expression in requirement.expressions)


def _is_reached(requirement: Requirement, room: Room) -> bool:
    """Say whether a subnet of the task lies where the instance is; one that names no zone is taken so.

    Source: AWS page "Amazon ECS API failure reasons" (LOCATION).
    """
    zone = room.attributes.get(ZONE)
    return not requirement.zones or not zone or zone in requirement.zones


def _meets(expression: str, room: Room) -> bool:
    subject = QuerySubject(
        attributes=room.attributes,
        ec2_instance_id=room.ec2_instance_id,
        agent_connected=room.agent_connected,
    )
    return predicate_of(expression)(subject)


def unmet_constraints(requirement: Requirement, room: Room) -> tuple[str, ...]:
    """Return what an instance will never meet: required attributes (`name` or `name=value`), expressions.

    Room that becomes free changes none of them. Sources: API reference, "Attribute"; page "Create expressions
    to define container instances for Amazon ECS tasks".
    """
    attributes = (
        name if value is None else f"{name}={value}"
        for name, value in requirement.attributes
        if not _has_attribute(name, value, room)
    )
    return (*attributes, *(each for each in requirement.expressions if not _meets(each, room)))


def _gpu_assignment(
    requirement: Requirement, room: Room
) -> tuple[tuple[str, GpuRequest, tuple[str, ...]], ...] | None:
    """Choose GPU ids for each container, or None where they are not there."""
    if not requirement.gpus:
        return ()
    chosen: list[tuple[str, GpuRequest, tuple[str, ...]]] = []
    whole: set[str] = set()
    shares: dict[str, float] = {}
    memory: dict[str, int] = {}
    for name, request in requirement.gpus:
        free = [gpu for gpu in room.free_gpus if gpu not in whole and gpu not in shares and gpu not in memory]
        ids: tuple[str, ...]
        match request.kind:
            case GpuKind.COUNT:
                ids = tuple(gpu for gpu in free if room.gpu_capacity.get(gpu, 1.0) >= 1)[: request.count]
                if len(ids) < request.count:
                    return None
                whole.update(ids)
            case GpuKind.ALL:
                ids = tuple(free)
                if not ids or len(ids) < len(room.gpus):
                    return None
                whole.update(ids)
            case GpuKind.FRACTION:
                gpu = _fraction_of(request.fraction, room, whole, shares)
                if gpu is None:
                    return None
                shares[gpu] = shares.get(gpu, 0.0) + request.fraction
                ids = (gpu,)
            case GpuKind.MPS:
                gpu = _mps_share(request.memory_mib, room, free, memory)
                if gpu is None:
                    return None
                memory[gpu] = memory.get(gpu, 0) + request.memory_mib
                ids = (gpu,)
        chosen.append((name, request, ids))
    return tuple(chosen)


def _fraction_of(fraction: float, room: Room, whole: set[str], shares: Mapping[str, float]) -> str | None:
    """Choose the fullest GPU that still has the share, so that whole GPUs stay whole."""
    left = {
        gpu: share - shares.get(gpu, 0.0)
        for gpu, share in room.gpus.items()
        if gpu not in whole and gpu not in room.mps_gpus
    }
    candidates = [gpu for gpu, share in left.items() if share >= fraction - FRACTION_SLACK]
    return min(candidates, key=lambda gpu: left[gpu], default=None)


def _mps_share(wanted: int, room: Room, free: Iterable[str], memory: Mapping[str, int]) -> str | None:
    shared = [gpu for gpu in room.gpus if gpu in room.mps_gpus or gpu in memory]
    for gpu in (*shared, *free):
        if room.gpu_memory.get(gpu, 0) - memory.get(gpu, 0) >= wanted:
            return gpu
    return None


def _take_gpu(room: Room, gpu: str, request: GpuRequest) -> None:
    match request.kind:
        case GpuKind.FRACTION:
            room.gpus[gpu] -= request.fraction
        case GpuKind.MPS:
            room.mps_gpus.add(gpu)
            room.gpu_memory[gpu] -= request.memory_mib
            # An MPS share leaves nothing for other ways of asking; the memory decides about further shares.
            room.gpus[gpu] -= room.gpu_capacity.get(gpu, 1.0)
        case GpuKind.COUNT | GpuKind.ALL:
            room.gpus[gpu] = 0.0


def _return_gpu(room: Room, gpu: str, request: GpuRequest) -> None:
    capacity = room.gpu_capacity.get(gpu, 1.0)
    match request.kind:
        case GpuKind.FRACTION:
            room.gpus[gpu] += request.fraction
        case GpuKind.MPS:
            room.gpu_memory[gpu] += request.memory_mib
            room.gpus[gpu] += capacity
            if room.gpus[gpu] >= capacity - FRACTION_SLACK:
                room.mps_gpus.discard(gpu)
        case GpuKind.COUNT | GpuKind.ALL:
            room.gpus[gpu] = capacity
