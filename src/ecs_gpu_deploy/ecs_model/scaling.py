"""Capacity providers: which one a task uses, and managed scaling of their instances.

Source: AWS pages "Amazon ECS capacity providers", "Amazon ECS cluster auto scaling";
docs/aws-facts.md#provisioning.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ecs_gpu_deploy.core.capacity.fit import ZONE, Requirement, Room, allocate, fits
from ecs_gpu_deploy.core.capacity.walk import INSTANCES_AT_FIRST, instances_to_launch
from ecs_gpu_deploy.ecs_model.model import Model
from ecs_gpu_deploy.ecs_model.state import CapacityProvider, Instance, InstanceTemplate, Task

# At most so many tasks of a cluster may wait in PROVISIONING, and each for so long in seconds
# (docs/aws-facts.md#provisioning; the span is seen, not documented).
PROVISIONING_LIMIT = 500
PROVISIONING_SECONDS = 30 * 60.0
# The metric that scaling follows, CapacityProviderReservation, comes once a minute.
EVALUATION_SECONDS = 60.0
FARGATE = frozenset({"FARGATE", "FARGATE_SPOT"})


def provider_for(strategy: Sequence[Mapping[str, Any]], placed: Counter[str]) -> str | None:
    """Choose the capacity provider of the next task by base and weight; `placed` counts the tasks so far.

    Source: API Reference, "CapacityProviderStrategyItem".
    """
    for item in strategy:
        name = str(item.get("capacityProvider"))
        if placed[name] < int(item.get("base") or 0):
            return name
    weights = {str(item.get("capacityProvider")): int(item.get("weight") or 0) for item in strategy}
    bases = {str(item.get("capacityProvider")): int(item.get("base") or 0) for item in strategy}
    weighted = {name: weight for name, weight in weights.items() if weight > 0}
    if not weighted:
        return next(iter(weights), None)
    return min(weighted, key=lambda name: (placed[name] - bases[name]) / weighted[name])


def room_of_template(template: InstanceTemplate, gpu_ids: Sequence[str] | None = None) -> Room:
    """Give the room of a fresh instance of that kind."""
    ids = list(gpu_ids) if gpu_ids is not None else [f"GPU-{number}" for number in range(template.gpus)]
    return Room(
        cpu=template.cpu,
        memory=template.memory,
        gpus=dict.fromkeys(ids, template.gpu_fraction),
        gpu_capacity=dict.fromkeys(ids, template.gpu_fraction),
        gpu_memory=dict.fromkeys(ids, template.gpu_memory_mib),
        used_ports={(port, "tcp") for port in template.reserved_ports},
        network_interfaces=template.network_interfaces,
        attributes=dict(template.attributes),
        missing_attributes=template.missing_attributes,
    )


def instances_of(model: Model, provider: CapacityProvider) -> list[Instance]:
    """List a capacity provider's instances."""
    return [each for each in model.instances.values() if each.capacity_provider == provider.name]


def ask_for_capacity(model: Model, provider: CapacityProvider) -> None:
    """Have the provider look at its waiting tasks with the next value of its metric."""
    if provider.managed_scaling and provider.evaluates_at is None:
        provider.evaluates_at = model.now + EVALUATION_SECONDS
        model.at(provider.evaluates_at, _evaluate, provider)


def launch(model: Model, provider: CapacityProvider, number: int) -> int:
    """Launch up to so many instances, as far as the group and EC2 allow, and give how many."""
    size = len(instances_of(model, provider)) + provider.launching
    allowed = min(number, provider.max_size - size, provider.maximum_step)
    if provider.ec2_capacity is not None:
        allowed = min(allowed, provider.ec2_capacity)
    allowed = max(0, allowed)
    if provider.ec2_capacity is not None:
        provider.ec2_capacity -= allowed
    provider.launching += allowed
    for _ in range(allowed):
        model.after(provider.launch_seconds, _arrive, provider)
    return allowed


def register(
    model: Model,
    template: InstanceTemplate,
    *,
    availability_zone: str | None = None,
    capacity_provider: str | None = None,
    cached_layers: Sequence[str] = (),
    ec2_instance_id: str | None = None,
) -> Instance:
    """Register a container instance of that kind; zones are filled in turn where none is given."""
    number = len(model.instances)
    zones = template.availability_zones or ("a",)
    zone = model.zone(availability_zone or zones[number % len(zones)])
    ec2_id = ec2_instance_id or f"i-0{model.identifiers.hexadecimal(16)}"
    gpu_ids = tuple(f"GPU-{model.identifiers.uuid()}" for _ in range(template.gpus))
    room = room_of_template(template, gpu_ids)
    attributes: dict[str, str | None] = {
        "ecs.availability-zone": zone,
        "ecs.instance-type": template.instance_type,
        "ecs.os-type": "linux",
        "ecs.cpu-architecture": "x86_64",
        **template.attributes,
    }
    room.attributes = attributes
    room.ec2_instance_id = ec2_id
    instance_id = model.identifiers.hexadecimal()
    instance = Instance(
        arn=model.identifiers.container_instance_arn(instance_id),
        instance_id=instance_id,
        ec2_instance_id=ec2_id,
        template=template,
        availability_zone=zone,
        private_ip=f"10.0.{100 + number // 250}.{number % 250 + 4}",
        registered_at=model.now,
        room=room,
        gpu_ids=gpu_ids,
        capacity_provider=capacity_provider,
        cached_layers=dict.fromkeys(cached_layers, model.now),
        attributes=attributes,
        idle_since=model.now,
    )
    model.instances[instance.arn] = instance
    model.room_freed()
    return instance


def refill(model: Model, provider: CapacityProvider) -> None:
    """Launch up to the minimum size of a provider's group."""
    short = provider.min_size - len(instances_of(model, provider)) - provider.launching
    if short > 0:
        launch(model, provider, short)


def watch_idle(model: Model, instance: Instance) -> None:
    """Let managed scaling take an instance away once it has been idle for long."""
    provider = model.capacity_providers.get(instance.capacity_provider or "")
    # A target below 100 % keeps spare instances on purpose.
    if provider is not None and provider.managed_scaling and provider.target_capacity >= 100:
        model.after(provider.scale_in_after, _scale_in, provider, instance, instance.idle_since)


def packed(template: InstanceTemplate, requirements: Sequence[Requirement]) -> int | None:
    """Count the fresh instances that the tasks need, first fit; None where a task fits on none."""
    rooms: list[Room] = []
    for requirement in requirements:
        room = next((each for each in rooms if fits(requirement, each)), None)
        if room is None:
            room = next((each for each in _fresh(template) if fits(requirement, each)), None)
            if room is None:
                return None
            rooms.append(room)
        allocate(requirement, room)
    return len(rooms)


def _fresh(template: InstanceTemplate) -> Iterator[Room]:
    """Give the room of a fresh instance in each of the zones that it may come in."""
    for zone in template.availability_zones or ("a",):
        room = room_of_template(template)
        room.attributes = {
            ZONE: zone,
            "ecs.instance-type": template.instance_type,
            **template.attributes,
        }
        yield room


def put(model: Model, provider: CapacityProvider) -> CapacityProvider:
    """Add or replace a capacity provider and begin to launch up to its minimum size."""
    provider.arn = provider.arn or model.identifiers.capacity_provider_arn(provider.name)
    model.capacity_providers[provider.name] = provider
    refill(model, provider)
    if any(task.capacity_provider == provider.name for task in model.provisioning.values()):
        ask_for_capacity(model, provider)
    return provider


def _evaluate(model: Model, provider: CapacityProvider) -> None:
    provider.evaluates_at = None
    # Instances that arrived in this very moment take their tasks before more are asked for.
    model.offer_room()
    waiting = [task for task in model.provisioning.values() if task.capacity_provider == provider.name]
    if not waiting or model.capacity_providers.get(provider.name) is not provider:
        return
    fitting = [task.requirement for task in waiting if packed(provider.template, [task.requirement])]
    needed = packed(provider.template, fitting) or 0
    running = instances_of(model, provider)
    if needed and not running and not provider.launching:
        needed = max(needed, INSTANCES_AT_FIRST)
    if needed:
        busy = sum(1 for instance in running if instance.tasks)
        target = provider.target_capacity
        number = instances_to_launch(needed, busy=busy, running=len(running), target=target)
        launch(model, provider, number - provider.launching)
    ask_for_capacity(model, provider)


def _arrive(model: Model, provider: CapacityProvider) -> None:
    provider.launching -= 1
    if model.capacity_providers.get(provider.name) is provider:
        zone = _emptiest_zone(model, provider)
        register(model, provider.template, availability_zone=zone, capacity_provider=provider.name)


def _emptiest_zone(model: Model, provider: CapacityProvider) -> str:
    """Give the zone with the fewest instances of the provider; of equals, the next in turn.

    Source: EC2 Auto Scaling User Guide, "Auto Scaling benefits for application architecture".
    """
    zones = provider.template.availability_zones or ("a",)
    turn = len(model.instances) % len(zones)
    there = Counter(each.availability_zone for each in instances_of(model, provider))
    return min((*zones[turn:], *zones[:turn]), key=lambda zone: there[model.zone(zone)])


def _scale_in(model: Model, provider: CapacityProvider, instance: Instance, idle_since: float | None) -> None:
    if instance.arn not in model.instances or instance.tasks or instance.idle_since != idle_since:
        return
    if len(instances_of(model, provider)) > provider.min_size:
        del model.instances[instance.arn]


def waiting_tasks(model: Model) -> list[Task]:
    """List the tasks that wait for an instance, longest first."""
    return list(model.provisioning.values())
