"""Which container instance takes a task: constraints first, then the strategies in their order.

Source: AWS pages "How Amazon ECS places tasks on container instances" and "Use strategies to define Amazon
ECS task placement".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ecs_gpu_deploy.core.capacity.fit import Requirement, Shortfall, fits, shortfalls
from ecs_gpu_deploy.ecs_model.model import Model
from ecs_gpu_deploy.ecs_model.state import Instance, Task

# What ECS does where a service or RunTask names no strategy.
DEFAULT_STRATEGY: tuple[Mapping[str, Any], ...] = (
    {"type": "spread", "field": "attribute:ecs.availability-zone"},
)
_INSTANCE_FIELDS = {"instanceid", "host"}


class Candidates:
    """Choose instances for several tasks of one kind, one after the other.

    While it is in use nothing gives room back, so an instance that a task did not fit on is out for good.
    """

    def __init__(
        self,
        model: Model,
        *,
        requirement: Requirement,
        group: str,
        capacity_provider: str | None = None,
        constraints: Iterable[Mapping[str, Any]] = (),
        strategy: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self._model = model
        self._requirement = requirement
        self._group = group
        self._pool = [
            instance
            for instance in model.instances.values()
            if capacity_provider is None or instance.capacity_provider == capacity_provider
        ]
        self._distinct = any(each.get("type") == "distinctInstance" for each in constraints)
        self._strategy = tuple(strategy) or DEFAULT_STRATEGY
        self._spreads = [
            (value_of, Counter(value_of(instance) for instance in self._group_instances()))
            for each in self._strategy
            if str(each.get("type")).lower() == "spread"
            for value_of in (_value_of(str(each.get("field") or "instanceId")),)
        ]
        self._open = [instance for instance in self._pool if self._takes(instance)]

    @property
    def empty(self) -> bool:
        """Tell whether there are no instances at all to choose from."""
        return not self._pool

    def choose(self) -> Instance | None:
        """Give the best instance with room, or None; the caller then puts the task on it."""
        if not self._open:
            return None
        chosen = self._best()
        for value_of, counts in self._spreads:
            counts[value_of(chosen)] += 1
        return chosen

    def used(self, instance: Instance) -> None:
        """Take note that a task was put on the instance."""
        if not self._takes(instance):
            self._open.remove(instance)

    def lacks(self) -> list[tuple[Instance, Shortfall]]:
        """List for each instance its gravest lack, the closest match first."""
        found = []
        for order, instance in enumerate(self._pool):
            lacking = list(shortfalls(self._requirement, instance.room))
            if self._distinct and self._holds_group(instance):
                lacking.append(Shortfall.DISTINCT)
            if lacking:
                # An instance that is not even a candidate is never the closest while another one is.
                remote = lacking[0] in {Shortfall.INACTIVE, Shortfall.AGENT, Shortfall.ATTRIBUTE}
                found.append((remote, len(lacking), order, instance, lacking[0]))
        found.sort(key=lambda each: each[:3])
        return [(instance, lacking) for _, _, _, instance, lacking in found]

    def _best(self) -> Instance:
        found = self._open
        spreads = iter(self._spreads)
        for each in self._strategy:
            if len(found) == 1:
                break
            match str(each.get("type")).lower():
                case "spread":
                    value_of, counts = next(spreads)
                    found = _least(found, lambda instance, v=value_of, c=counts: c[v(instance)])  # type: ignore[misc]
                case "binpack":
                    by_cpu = str(each.get("field")).lower() == "cpu"
                    found = _least(found, _free_cpu if by_cpu else _free_memory)
                case _:
                    return found[self._model.identifiers.number() % len(found)]
        return min(found, key=lambda instance: len(instance.tasks)) if len(found) > 1 else found[0]

    def _takes(self, instance: Instance) -> bool:
        if self._distinct and self._holds_group(instance):
            return False
        return fits(self._requirement, instance.room)

    def _holds_group(self, instance: Instance) -> bool:
        return any(task.group == self._group and task.live for task in instance.tasks.values())

    def _group_instances(self) -> Iterable[Instance]:
        for instance in self._pool:
            for task in instance.tasks.values():
                if task.group == self._group and task.live:
                    yield instance


def candidates_for(model: Model, task: Task) -> Candidates:
    """Give the instances for one task as it is described."""
    return Candidates(
        model,
        requirement=task.requirement,
        group=task.group,
        capacity_provider=task.capacity_provider,
        constraints=task.constraints,
        strategy=task.strategy,
    )


def no_placement_reason(candidates: Candidates) -> str:
    """Give the failure reason of the closest instance, as `RESOURCE:GPU`."""
    lacks = candidates.lacks()
    return lacks[0][1].value if lacks else "EMPTY CAPACITY PROVIDER"


def _least(instances: list[Instance], key: Callable[[Instance], int]) -> list[Instance]:
    keys = [key(instance) for instance in instances]
    least = min(keys)
    return [instance for instance, value in zip(instances, keys, strict=True) if value == least]


def _free_cpu(instance: Instance) -> int:
    return instance.room.cpu


def _free_memory(instance: Instance) -> int:
    return instance.room.memory


def _value_of(name: str) -> Callable[[Instance], str]:
    if name.lower() in _INSTANCE_FIELDS:
        return lambda instance: instance.arn
    attribute = name.removeprefix("attribute:")
    if attribute == "ecs.availability-zone":
        return lambda instance: instance.availability_zone
    return lambda instance: instance.attributes.get(attribute) or ""
