"""What decides whether a rollout finds room: the service's wishes, the instances, the old tasks on them.

Plain values: `steps` make them of what AWS shows, tests of anything. Source: docs/aws-facts.md#rounding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from ecs_gpu_deploy.core.capacity.fit import ZONE, Allocation, Requirement, Room, fits
from ecs_gpu_deploy.core.capacity.percents import Limits, limits_for


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An instance: what is free on it, what it has `whole`, its provider and zone, how many tasks it has.

    `name` is what a person knows it by, `impaired` the parts that AWS calls so. `room` is not changed by
    whoever asks: walks copy it.
    """

    arn: str
    room: Room
    whole: Room | None = None
    name: str = ""
    impaired: tuple[str, ...] = ()
    zone: str = ""
    provider: str = ""
    instance_type: str = ""
    tasks: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OldTask:
    """A task of the service that the rollout replaces, and what it gives back where it runs.

    `can_stop` is False where nobody hears of its end: the agent of its instance does not answer.
    """

    arn: str
    place: str = ""
    allocation: Allocation | None = None
    created_at: float = 0.0
    can_stop: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Supply:
    """A capacity provider of the service's strategy. `fresh` is what one more instance would bring.

    `more` is how many its Auto Scaling group may still launch; 0 without managed scaling. `is_seen` is False
    where AWS did not show whether it scales. `suspended` are those that it would launch, were its process
    Launch not suspended. `zones` are the Availability Zones that it launches in, in turn; empty where they
    are not known. Of Managed Instances ECS itself chooses which comes. `target`
    is the targetCapacity of managed scaling, in percent. `warm` are the instances that wait in the group's
    warm pool, in `warm_state`.
    """

    name: str
    base: int = 0
    weight: int = 1
    managed: bool = False
    fresh: Room | None = None
    more: int = 0
    instance_type: str = ""
    is_seen: bool = True
    is_managed_instances: bool = False
    suspended: int = 0
    zones: tuple[str, ...] = ()
    target: int = 100
    warm: int = 0
    warm_state: str = ""

    def fresh_in(self, zone: str) -> Room:
        """Return what one more instance brings in *zone*, "" for one that is not known.

        Raises ValueError where it is not known what an instance brings.
        """
        if self.fresh is None:
            raise ValueError(f"It is not known what an instance of {self.name} brings.")
        kept = {name: value for name, value in self.fresh.attributes.items() if name != ZONE}
        return replace(self.fresh, attributes={**kept, ZONE: zone} if zone else kept)

    def fresh_for(self, requirement: Requirement) -> Room | None:
        """Return what an instance brings that takes such a task, in the first zone that lets it."""
        rooms = [] if self.fresh is None else [self.fresh_in(zone) for zone in self.zones or ("",)]
        return next((room for room in rooms if fits(requirement, room)), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """All that decides about room. `minimum` and `maximum` are the percentages behind `limits`.

    `leaving` are tasks of the service that were told to stop already and still hold their room.
    `supplies` is empty for a service that names no capacity provider. `staged`: the new revision runs whole
    beside the old one first. `placement` are the service's placement strategies, `distinct` says that an
    instance takes one task of it; `daemon`, that each of them has one, so that further instances bring
    further tasks. `ready_seconds`, `drain_seconds` and `launch_seconds` tell how long a new
    task takes to be healthy, an old one to leave, an instance to come.
    """

    limits: Limits
    minimum: int = 100
    maximum: int = 200
    requirement: Requirement
    places: Sequence[Place]
    old: Sequence[OldTask] = ()
    leaving: Sequence[OldTask] = ()
    supplies: Sequence[Supply] = ()
    staged: bool = False
    placement: Sequence[Mapping[str, Any]] = ()
    distinct: bool = False
    daemon: bool = False
    ready_seconds: float = 300.0
    drain_seconds: float = 60.0
    launch_seconds: float = 180.0

    @property
    def pool(self) -> Sequence[Place]:
        """Return the instances that the service's capacity providers have; all where it names none."""
        names = {each.name for each in self.supplies}
        return [place for place in self.places if not names or place.provider in names]

    def with_limits(self, *, minimum: int, maximum: int) -> Self:
        """Return it with other percentages."""
        limits = limits_for(self.limits.desired, minimum=minimum, maximum=maximum)
        return replace(self, limits=limits, minimum=minimum, maximum=maximum)

    def with_more_places(self, places: Sequence[Place]) -> Self:
        """Return it with further instances."""
        return replace(self, places=(*self.places, *places))


@dataclass(slots=True, kw_only=True)
class Board:
    """The instances while a walk changes them: rooms, numbers of tasks, and how many are of the service."""

    places: dict[str, Place] = field(default_factory=dict)
    rooms: dict[str, Room] = field(default_factory=dict)
    tasks: dict[str, int] = field(default_factory=dict)
    ours: dict[str, int] = field(default_factory=dict)

    def add(self, place: Place) -> None:
        """Put an instance on the board, with a room of its own."""
        self.places[place.arn] = place
        self.rooms[place.arn] = copy_of(place.room)
        self.tasks[place.arn] = place.tasks
        self.ours.setdefault(place.arn, 0)


def copy_of(room: Room) -> Room:
    """Return a room that may be changed without changing *room*."""
    return replace(
        room,
        gpus=dict(room.gpus),
        gpu_memory=dict(room.gpu_memory),
        mps_gpus=set(room.mps_gpus),
        used_ports=set(room.used_ports),
    )
