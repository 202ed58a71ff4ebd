"""Why no task can be placed: the answers to "unable to place", told apart.

AWS's event is the same in all of them. They differ in who must do something: nobody (a capacity provider
scales out), whoever wrote the task definition (no instance here is large enough), or whoever set the
deployment's percentages (our own old tasks hold the GPUs until a new one is healthy).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from ecs_gpu_deploy.core.capacity.compute import Compute, ComputeKind, capacity_words
from ecs_gpu_deploy.core.capacity.container_instance import ContainerInstance
from ecs_gpu_deploy.core.capacity.fit import Requirement, Room, Shortfall, fits, shortfalls, unmet_constraints
from ecs_gpu_deploy.core.capacity.holders import gpus_held, held_by
from ecs_gpu_deploy.core.capacity.percents import limits_for, minimum_to_free
from ecs_gpu_deploy.core.judge.breaker import threshold
from ecs_gpu_deploy.core.text import count
from ecs_gpu_deploy.model import Service, Task

MOST_GPUS = 16
"""The most GPUs any EC2 instance type has: p2.16xlarge (AWS page "Amazon EC2 accelerated computing")."""
PROVISIONING_SPAN = "about 30 min"
"""How long a task waits in PROVISIONING (docs/aws-facts.md#provisioning)."""
_WORDS = {
    Shortfall.GPU: "GPUs",
    Shortfall.MEMORY: "memory",
    Shortfall.CPU: "CPU units",
    Shortfall.PORTS: "the host port",
    Shortfall.ATTRIBUTE: "an attribute",
    Shortfall.MEMBER_OF: "what the placement constraints ask for",
    Shortfall.ENI: "a free network interface",
}


class Answer(StrEnum):
    """Who or what keeps a task from its place."""

    SCALING = "scaling"
    IMPOSSIBLE = "impossible"
    OWN_TASKS = "own-tasks"
    OTHERS = "others"
    NO_INSTANCES = "no-instances"
    DISCONNECTED = "disconnected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortage:
    """Why there is no place. `note` fits in a line of progress; `certain` says that waiting cannot help.

    `code` is the diagnosis code that it stands for.
    """

    answer: Answer
    code: str
    note: str
    message: str
    hint: str
    certain: bool = False


def shortage_of(
    requirement: Requirement,
    instances: Sequence[ContainerInstance],
    *,
    compute: Compute,
    service: Service | None = None,
    provisioning: int = 0,
    old_tasks: Sequence[Task] = (),
    new_tasks: Sequence[Task] = (),
    other_tasks: Sequence[Task] = (),
) -> Shortage | None:
    """Return why a task of *requirement* finds no place among *instances*; None where one would take it.

    *provisioning* counts our tasks that wait for a capacity provider, *old_tasks* are the live tasks of the
    *service* that is deployed, *new_tasks* those of its new revision; a batch has none of them. *other_tasks*
    run in the cluster for somebody else, as far as that was asked. Instances of other capacity providers than
    those of *compute* do not count.
    Sources: docs/aws-facts.md#gpus-of-an-instance, #provisioning and #rounding.
    """
    if compute.kind is ComputeKind.FARGATE:
        return None
    pool = _pool(compute, instances)
    if pool and not any(each.shows_resources for each in pool):
        return None
    if requirement.gpu_count > MOST_GPUS:
        return _beyond_ec2(requirement)
    if compute.kind is ComputeKind.MANAGED_INSTANCES:
        return None if any(fits(requirement, each.room) for each in pool) else _managed(requirement, compute)
    small = bool(pool) and not any(
        fits(requirement, _well(each.whole)) or not each.shows_resources for each in pool
    )
    if small and (reason := _too_small(requirement, pool, scales=provisioning > 0)):
        return reason
    if small and (reason := _never_met(requirement, pool, scales=provisioning > 0)):
        return reason
    if provisioning:
        return _scaling(requirement, compute, service, provisioning)
    if not pool:
        return _no_instances(compute)
    if all(not each.agent_connected for each in pool):
        return _disconnected(pool)
    if roomy := [each for each in pool if fits(requirement, each.room)]:
        taken = {task.container_instance_arn for task in (*old_tasks, *new_tasks)}
        is_taken = service is not None and _is_one_each(service) and taken >= {each.arn for each in roomy}
        return _one_each(service, pool) if service is not None and is_taken else None
    beside = _out_of_use(requirement, instances, compute) + _holders(requirement, pool, other_tasks)
    if service is not None and any(
        fits(requirement, _without(each, old_tasks, requirement)) for each in pool
    ):
        found = _own_tasks(requirement, service, pool, old_tasks)
    else:
        found = _others(requirement, pool)
    return replace(found, message=found.message + beside)


def _is_one_each(service: Service) -> bool:
    return any(each.get("type") == "distinctInstance" for each in service.placement_constraints)


def _one_each(service: Service, pool: Sequence[ContainerInstance]) -> Shortage:
    """Say that each instance has a task of the service, and may have no second one.

    Source: Developer Guide, "Define which container instances Amazon ECS uses for tasks" (distinctInstance).
    """
    desired, percent = service.desired_count, service.minimum_healthy_percent
    keeps = limits_for(desired, minimum=percent, maximum=100).lower >= desired
    first = f"set minimumHealthyPercent below 100 ({minimum_to_free(desired)} lets one old task go first), "
    return Shortage(
        answer=Answer.OWN_TASKS,
        code="missing-attribute",
        note="each instance has a task of the service already (distinctInstance)",
        message=f"The service places one task on an instance (distinctInstance), and each of the "
        f"{count(len(pool), 'instance')} with room has one"
        + (f"; minimumHealthyPercent {percent} keeps it until a new one is healthy." if keeps else "."),
        hint=f"Add an instance, {first if keeps else ''}or take distinctInstance out of the service's "
        "placementConstraints.",
    )


def _pool(compute: Compute, instances: Sequence[ContainerInstance]) -> list[ContainerInstance]:
    names = compute.capacity_providers
    return [
        each
        for each in instances
        if each.status in {"ACTIVE", "REGISTERING", ""} and (not names or each.capacity_provider in names)
    ]


def _out_of_use(requirement: Requirement, instances: Sequence[ContainerInstance], compute: Compute) -> str:
    """Say of instances that have room why they take no task: they are DRAINING, or no agent answers there.

    Source: Developer Guide, "Draining Amazon ECS container instances".
    """
    names = compute.capacity_providers
    roomy = [
        each
        for each in instances
        if (not names or each.capacity_provider in names) and fits(requirement, _well(each.room))
    ]
    draining = [each for each in roomy if each.status == "DRAINING"]
    silent = [each for each in roomy if each.status == "ACTIVE" and not each.agent_connected]
    said = [(draining, "while draining"), (silent, "while no ECS agent answers there")]
    return "".join(
        f" No task goes to {count(len(some), 'instance')} with room {why}: {_named(some)}."
        for some, why in said
        if some
    )


def _named(instances: Sequence[ContainerInstance]) -> str:
    return ", ".join(each.id for each in instances[:3]) + (", …" if len(instances) > 3 else "")


def _holders(requirement: Requirement, pool: Sequence[ContainerInstance], tasks: Sequence[Task]) -> str:
    """Name the others who hold GPUs here, where a GPU is wanted."""
    held = held_by(gpus_held(tasks, {each.arn for each in pool})) if requirement.gpus else ""
    return f" Others hold GPUs here: {held}." if held else ""


def _well(room: Room) -> Room:
    return replace(room, active=True, agent_connected=True)


def _without(instance: ContainerInstance, tasks: Sequence[Task], requirement: Requirement) -> Room:
    """Return the instance's room once *tasks* are gone; an old task is taken to be as large as a new one."""
    room = replace(instance.room, gpus=dict(instance.room.gpus))
    for task in tasks:
        if task.container_instance_arn != instance.arn:
            continue
        room.cpu += requirement.cpu
        room.memory += requirement.memory
        for container in task.containers:
            for gpu in container.gpu_ids:
                room.gpus[gpu] = room.gpu_capacity.get(gpu, 1.0)
    return room


def _gpus(number: float) -> str:
    return f"{number:g} GPU" if number == 1 else f"{number:g} GPUs"


def _code(requirement: Requirement, pool: Sequence[ContainerInstance]) -> str:
    """Return the capacity code for what the instances lack most often, GPUs first."""
    lacking = [shortfalls(requirement, each.room) for each in pool]
    for shortfall, code in (
        (Shortfall.GPU, "gpu-capacity"),
        (Shortfall.MEMORY, "memory-capacity"),
        (Shortfall.CPU, "cpu-capacity"),
        (Shortfall.PORTS, "port-conflict"),
        (Shortfall.ATTRIBUTE, "missing-attribute"),
        (Shortfall.MEMBER_OF, "missing-attribute"),
    ):
        if any(shortfall in each for each in lacking):
            return code
    return "gpu-capacity" if requirement.gpus else "cpu-capacity"


def _beyond_ec2(requirement: Requirement) -> Shortage:
    wanted = _gpus(requirement.gpu_count)
    return Shortage(
        answer=Answer.IMPOSSIBLE,
        code="gpu-capacity",
        certain=True,
        note=f"impossible: no EC2 instance type has {wanted}",
        message=f"A task wants {wanted} on one instance; no EC2 instance type has more than {MOST_GPUS}.",
        hint="Lower the GPU value in resourceRequirements.",
    )


def _too_small(
    requirement: Requirement, pool: Sequence[ContainerInstance], *, scales: bool
) -> Shortage | None:
    """Name what even an empty instance lacks; what can be had otherwise (ports, constraints) is not here."""
    lacking = [set(shortfalls(requirement, _well(each.whole))) for each in pool]
    always = [
        kind for kind in (Shortfall.GPU, Shortfall.MEMORY, Shortfall.CPU) if all(kind in s for s in lacking)
    ]
    if not always:
        return None
    kind = always[0]
    largest = max(pool, key=lambda each: _amount(each, kind))
    wanted = {
        Shortfall.GPU: _gpus(requirement.gpu_count),
        Shortfall.MEMORY: f"{requirement.memory} MiB of memory",
        Shortfall.CPU: f"{requirement.cpu} CPU units",
    }[kind]
    has = f"{_amount(largest, kind):g}"
    named = f" ({largest.instance_type})" if largest.instance_type else ""
    more = "" if scales else " and nothing scales out"
    return Shortage(
        answer=Answer.IMPOSSIBLE,
        code={Shortfall.GPU: "gpu-capacity", Shortfall.MEMORY: "memory-capacity"}.get(kind, "cpu-capacity"),
        certain=not scales,
        note=f"impossible here: a task wants {wanted} on one instance, the largest has {has}",
        message=f"A task wants {wanted} on one instance, but the largest of the "
        f"{count(len(pool), 'instance')} here{named} has {has}, even when empty{more}.",
        hint=f"Lower the {_WORDS[kind]} that the task definition asks for, or add a larger instance type to "
        "the cluster.",
    )


def _never_met(
    requirement: Requirement, pool: Sequence[ContainerInstance], *, scales: bool
) -> Shortage | None:
    """Name the attribute or placement constraint that no instance here meets, whatever becomes free."""
    unmet = [unmet_constraints(requirement, each.whole) for each in pool]
    never = [each for each in unmet[0] if all(each in others for others in unmet)]
    if not never:
        return None
    wanted = " and ".join(never[:3])
    types = ", ".join(sorted({each.instance_type for each in pool if each.instance_type}))
    here = f"the {count(len(pool), 'instance')} here{f' ({types})' if types else ''}"
    return Shortage(
        answer=Answer.IMPOSSIBLE,
        code="missing-attribute",
        certain=not scales,
        note=f"impossible here: none of {here} meets {wanted}",
        message=f"A task asks for instances with {wanted}, and none of {here} has that"
        f"{'' if scales else ', and nothing scales out'}.",
        hint="Change the placementConstraints of the task definition or the service, or add instances that "
        "meet them (DescribeContainerInstances shows the attributes of each).",
    )


def _amount(instance: ContainerInstance, kind: Shortfall) -> float:
    match kind:
        case Shortfall.GPU:
            return sum(instance.whole.gpu_capacity.values())
        case Shortfall.MEMORY:
            return instance.whole.memory
    return instance.whole.cpu


def _managed(requirement: Requirement, compute: Compute) -> Shortage:
    code = "gpu-capacity" if requirement.gpus else "ec2-capacity"
    message, hint = capacity_words(compute, code) or ("", "")
    return Shortage(
        answer=Answer.SCALING,
        code=code,
        note=f"ECS launches an instance for it {compute.place}, or finds none that fits",
        message=message,
        hint=hint,
    )


def _scaling(
    requirement: Requirement, compute: Compute, service: Service | None, provisioning: int
) -> Shortage:
    names = ", ".join(compute.capacity_providers) or "the capacity provider"
    risk = f"ECS gives up on such a task after {PROVISIONING_SPAN}"
    if service is not None and (breaker := service.circuit_breaker).enable:
        risk += (
            ", and each one then counts toward the circuit breaker "
            f"(threshold {threshold(breaker, service.desired_count)})"
        )
    waiting = count(provisioning, "task")
    return Shortage(
        answer=Answer.SCALING,
        code="gpu-capacity" if requirement.gpus else "ec2-capacity",
        note=f"{names} scales out, {waiting} in PROVISIONING; {risk}",
        message=f"{waiting} waited in PROVISIONING for {names} to launch an instance; {risk}.",
        hint="Raise the maximum size of its Auto Scaling group, look at the group's activity history (EC2 "
        "may have no such instance now, or the vCPU quota may be reached), keep a spare with targetCapacity "
        "below 100, or raise placement-timeout.",
    )


def _no_instances(compute: Compute) -> Shortage:
    names = ", ".join(compute.capacity_providers)
    where = f"the capacity provider {names}" if names else "the cluster"
    return Shortage(
        answer=Answer.NO_INSTANCES,
        code="no-instances",
        note=f"{where} has no container instance",
        message=f"No active container instance is registered in {where}.",
        hint="Launch instances that join this cluster (ECS_CLUSTER in their user data), or use a capacity "
        "provider with managed scaling.",
    )


def _disconnected(pool: Sequence[ContainerInstance]) -> Shortage:
    return Shortage(
        answer=Answer.DISCONNECTED,
        code="agent-disconnected",
        note=f"no ECS agent answers on {count(len(pool), 'instance')}",
        message=f"The ECS agent of none of the {count(len(pool), 'instance')} is connected.",
        hint="Look at /var/log/ecs/ecs-agent.log on the instance, its role and its way to the ECS endpoints.",
    )


def _own_tasks(
    requirement: Requirement,
    service: Service,
    pool: Sequence[ContainerInstance],
    old_tasks: Sequence[Task],
) -> Shortage:
    desired, percent = service.desired_count, service.minimum_healthy_percent
    holding = [t for t in old_tasks if t.container_instance_arn in {each.arn for each in pool}]
    code = _code(requirement, pool)
    what = "GPUs" if code == "gpu-capacity" else "room"
    verb = "holds" if len(holding) == 1 else "hold"
    held = f"{count(len(holding), 'old task')} of this service {verb} the {what}"
    if service.strategy != "ROLLING":
        wanted = f"{_gpus(requirement.gpu_count * desired)} spare" if requirement.gpus else "that much room"
        return Shortage(
            answer=Answer.OWN_TASKS,
            code=code,
            note=f"blocked by our own old tasks: {held}, and {service.strategy} keeps them",
            message=f"{held}, and the strategy {service.strategy} keeps all of them until every new one "
            "has run beside them.",
            hint=f"Have {wanted} for the deployment, or take the strategy ROLLING, which can let an old task "
            "go first.",
        )
    if limits_for(desired, minimum=percent, maximum=100).lower < desired:
        return Shortage(
            answer=Answer.OWN_TASKS,
            code=code,
            note=f"{held}; ECS stops one to make room",
            message=f"{held} until ECS stops one of them (minimumHealthyPercent {percent} allows it).",
            hint="Shorten stopTimeout and the deregistration delay, so that an old task leaves sooner.",
        )
    return Shortage(
        answer=Answer.OWN_TASKS,
        code=code,
        note=f"blocked by our own old tasks: {held}, minimumHealthyPercent {percent} keeps them",
        message=f"{held}, and minimumHealthyPercent {percent} keeps all of them until a new one is healthy, "
        "which needs a place first.",
        hint=f"Set minimumHealthyPercent below 100 ({minimum_to_free(desired)} lets one old task go "
        f"first), or have {_gpus(requirement.gpu_count)} spare on one instance."
        if requirement.gpus
        else f"Set minimumHealthyPercent to {minimum_to_free(desired)}, or add an instance.",
    )


def _others(requirement: Requirement, pool: Sequence[ContainerInstance]) -> Shortage:
    code = _code(requirement, pool)
    lacking = {kind for each in pool for kind in shortfalls(requirement, each.room)}
    names = [_WORDS[kind] for kind in _WORDS if kind in lacking]
    missing = names[0] if names else "room"
    free = sum(len(each.room.free_gpus) for each in pool)
    gpus = f"; {_gpus(free)} free over all of them" if requirement.gpus and code == "gpu-capacity" else ""
    return Shortage(
        answer=Answer.OTHERS,
        code=code,
        note=f"no instance has {missing} free for it: other tasks hold them",
        message=f"None of the {count(len(pool), 'instance')} has {missing} free for one more task{gpus}: "
        "other tasks hold them, and nothing scales out.",
        hint="Add an instance, stop what else runs there, or use a capacity provider with managed scaling.",
    )
