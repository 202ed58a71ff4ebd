"""How a rollout goes through the room there is: what starts, what must stop first, where it stands still.

It reckons in the order in which ECS looks, with times only where they race with managed scaling: start what
may start and finds a place, stop what may stop, and only then wait for what loads. One wave is what loads
together. Sources: docs/aws-facts.md#rounding, #deployment-strategies and #provisioning.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ecs_gpu_deploy.core.capacity.fit import Requirement, Room, allocate, fits, release
from ecs_gpu_deploy.core.capacity.situation import (
    Board,
    OldTask,
    Place,
    Situation,
    Supply,
    copy_of,
)

SCALING_LOOK_SECONDS: Final = 60.0
"""Managed scaling looks once a minute (docs/aws-facts.md#provisioning): room that comes sooner is taken."""
INSTANCES_AT_FIRST: Final = 2
"""From none, two instances are launched at once (docs/aws-facts.md#provisioning)."""
_ZONE: Final = "attribute:ecs.availability-zone"
_BY_ZONE: Final[Sequence[Mapping[str, Any]]] = ({"type": "spread", "field": _ZONE},)


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """How far a rollout comes. `waves` load one after the other; `places` name where each new task went.

    `lacked_room`: a task once found no place. `launched` are the instances that capacity providers add.
    `fewest` is the lowest number of tasks that serve on the way, `most` the highest number of live ones.
    `zones` count the new tasks by Availability Zone, `open_zones` have room for one more at the end.
    `ends` is False where it stands still: then `missing` tasks never find a place, or old ones never leave.
    """

    ends: bool
    waves: int
    places: tuple[str, ...] = ()
    missing: int = 0
    lacked_room: bool = False
    launched: Mapping[str, int] = field(default_factory=dict)
    stopped_first: int = 0
    fewest: int = 0
    most: int = 0
    silent: tuple[OldTask, ...] = ()
    zones: Mapping[str, int] = field(default_factory=dict)
    open_zones: frozenset[str] = frozenset()


@dataclass(slots=True, kw_only=True)
class _Walker:
    """One walk; the numbers of the tasks that wait for an instance go by capacity provider."""

    situation: Situation
    board: Board
    old: list[OldTask]
    leaving: list[OldTask] = field(default_factory=list)
    loading: int = 0
    healthy: int = 0
    chosen: Counter[str] = field(default_factory=Counter)
    waiting: Counter[str] = field(default_factory=Counter)
    launched: Counter[str] = field(default_factory=Counter)
    arriving: list[Supply] = field(default_factory=list)
    went: list[str] = field(default_factory=list)
    has_room: dict[str, bool] = field(default_factory=dict)
    lacked_room: bool = False
    blocked: bool = False
    stopped_first: int = 0

    @property
    def new(self) -> int:
        return self.loading + self.healthy + self.waiting.total()

    def start(self) -> int:
        """Start what the percentages let and finds a place, and return how many; the rest is blocked."""
        situation, limits = self.situation, self.situation.limits
        upper = limits.desired * 2 + len(self.old) if situation.staged else limits.upper
        wanted = limits.desired - self.new
        number = min(wanted, upper - self.new - len(self.old))
        self.blocked = number < wanted
        started = 0
        for _ in range(max(0, number)):
            supply = supply_for(situation.supplies, self.chosen)
            if self.place(supply):
                started += 1
            elif supply is not None and supply.managed:
                self.lacked_room = True
                self.waiting[supply.name] += 1
            else:
                self.lacked_room = self.blocked = True
                break
            self.chosen[supply.name if supply else ""] += 1
        return started

    def place(self, supply: Supply | None) -> bool:
        """Put one new task on the best instance, or return False."""
        situation, board = self.situation, self.board
        names = None if supply is None else supply.name
        open_places = [
            arn
            for arn, place in board.places.items()
            if (names is None or place.provider == names)
            and not (situation.distinct and board.ours[arn])
            and self.is_open(arn)
        ]
        if not open_places:
            return False
        arn = _best(open_places, board, situation.placement or _BY_ZONE)
        allocate(situation.requirement, board.rooms[arn])
        board.tasks[arn] += 1
        board.ours[arn] += 1
        del self.has_room[arn]
        self.went.append(arn)
        self.loading += 1
        return True

    def is_open(self, arn: str) -> bool:
        """Say whether one more task fits on the instance; known until something comes or goes there."""
        if arn not in self.has_room:
            self.has_room[arn] = fits(self.situation.requirement, self.board.rooms[arn])
        return self.has_room[arn]

    def give_room_to_waiting(self) -> int:
        """Place the tasks that wait in PROVISIONING where room came, and return how many."""
        placed = 0
        for supply in self.situation.supplies:
            while self.waiting[supply.name] and self.place(supply):
                self.waiting[supply.name] -= 1
                placed += 1
        return placed

    def grow(self) -> int:
        """Launch what the waiting tasks need, as far as the Auto Scaling group lets; return how many."""
        grown = 0
        for supply in self.situation.supplies:
            if not self.waiting[supply.name] or supply.fresh is None:
                continue
            needed = instances_for(self.situation.requirement, supply, self.waiting[supply.name])
            mine = [place for place in self.board.places.values() if place.provider == supply.name]
            if needed and not mine:
                needed = max(needed, INSTANCES_AT_FIRST)
            busy = sum(self.board.tasks[place.arn] > 0 for place in mine)
            needed = instances_to_launch(needed, busy=busy, running=len(mine), target=supply.target)
            needed -= sum(each is supply for each in self.arriving)
            for _ in range(min(needed, supply.more - self.launched[supply.name])):
                self.launched[supply.name] += 1
                self.arriving.append(supply)
                grown += 1
        return grown

    def arrive(self) -> int:
        """Put the instances that were launched on the board, and return how many."""
        came, self.arriving = self.arriving, []
        for supply in came:
            mine = [place for place in self.board.places.values() if place.provider == supply.name]
            self.board.add(fresh_place(supply, len(self.board.places), mine))
        return len(came)

    def stop(self) -> int:
        """Stop the old tasks that may stop now, oldest first, and return how many."""
        situation, limits = self.situation, self.situation.limits
        if situation.staged and self.healthy < limits.desired:
            return 0
        surplus = len(self.old) - max(0, limits.desired - self.healthy)
        if self.blocked or self.waiting.total():
            missing = limits.desired - self.loading - self.healthy - len(self.leaving)
            surplus = max(surplus, min(missing, len(self.old) + self.healthy - limits.lower))
        may = min(surplus, len(self.old), len(self.old) + self.healthy - limits.lower)
        if may <= 0:
            return 0
        self.leaving += self.old[:may]
        self.old = self.old[may:]
        if self.healthy < limits.desired:
            self.stopped_first += may
        return may

    def let_go(self) -> int:
        """Give back the room of the tasks that were stopped, and return how many."""
        gone, self.leaving = self.leaving, []
        for task in gone:
            if task.place in self.board.rooms and task.can_stop:
                self.board.tasks[task.place] -= 1
                self.board.ours[task.place] -= 1
                if task.allocation is not None:
                    release(task.allocation, self.board.rooms[task.place])
                    self.has_room.pop(task.place, None)
        return len(gone)


def walk(situation: Situation) -> Walk:
    """Return how far the rollout comes."""
    board = Board()
    for place in situation.places:
        board.add(place)
    for task in (*situation.old, *situation.leaving):
        if task.place in board.ours:
            board.ours[task.place] += 1
    walker = _Walker(
        situation=situation,
        board=board,
        old=sorted(situation.old, key=lambda t: t.created_at),
        leaving=list(situation.leaving),
    )
    limits = situation.limits
    waves, clock, asked, arrival = 0, 0.0, 0.0, 0.0
    fewest, most = len(walker.old), len(walker.old)
    while True:
        started = walker.give_room_to_waiting()
        if not walker.waiting.total():
            asked = clock
        started += walker.start()
        most = max(most, len(walker.old) + walker.new)
        fell = walker.stop()
        fewest = min(fewest, len(walker.old) + walker.healthy)
        if started or fell:
            continue
        next_room = clock + situation.drain_seconds + (0.0 if walker.leaving else situation.ready_seconds)
        is_awaited = walker.leaving or walker.loading
        look = asked + SCALING_LOOK_SECONDS
        if (not is_awaited or next_room >= look) and walker.grow():
            arrival = max(clock, look) + situation.launch_seconds
            continue
        if walker.arriving and (not is_awaited or next_room >= arrival):
            clock = max(clock, arrival)
            walker.arrive()
            continue
        if walker.let_go():
            clock += situation.drain_seconds
            continue
        if not walker.loading:
            break
        walker.healthy, walker.loading = walker.healthy + walker.loading, 0
        clock += situation.ready_seconds
        waves += 1
    silent = tuple(task for task in situation.old if not task.can_stop)
    return Walk(
        ends=walker.healthy >= limits.desired and not walker.old and not silent,
        waves=waves,
        places=tuple(walker.went),
        missing=limits.desired - walker.healthy,
        lacked_room=walker.lacked_room,
        launched={name: number for name, number in walker.launched.items() if number},
        stopped_first=walker.stopped_first,
        fewest=fewest,
        most=most,
        silent=silent,
        zones=Counter(board.places[arn].zone for arn in walker.went),
        open_zones=frozenset(
            board.places[arn].zone for arn, room in board.rooms.items() if fits(situation.requirement, room)
        ),
    )


def supply_for(supplies: Sequence[Supply], chosen: Mapping[str, int]) -> Supply | None:
    """Return the capacity provider of the next task: bases first, then by weight; None where none is named.

    Source: API Reference, "CapacityProviderStrategyItem".
    """
    short = next((each for each in supplies if chosen.get(each.name, 0) < each.base), None)
    if short is not None:
        return short
    weighted = [each for each in supplies if each.weight > 0]
    if not weighted:
        return next(iter(supplies), None)
    return min(weighted, key=lambda each: (chosen.get(each.name, 0) - each.base) / each.weight)


def instances_for(requirement: Requirement, supply: Supply, tasks: int) -> int:
    """Return how many fresh instances *tasks* need, the same on each; 0 where a task fits on none.

    Managed scaling reckons so whatever zone they then come in.
    """
    rooms: list[Room] = []
    for _ in range(tasks):
        room = next((each for each in rooms if fits(requirement, each)), None)
        if room is None:
            fresh = supply.fresh_for(requirement)
            if fresh is None:
                return 0
            room = copy_of(fresh)
            rooms.append(room)
        allocate(requirement, room)
    return len(rooms)


def instances_to_launch(needed: int, *, busy: int, running: int, target: int) -> int:
    """Return how many instances managed scaling launches where *needed* more are.

    *busy* of *running* instances have tasks; below a *target* of 100 percent spare ones come beside.
    Sources: docs/aws-facts.md#provisioning; API Reference, "ManagedScaling".
    """
    return max(needed, math.ceil((busy + needed) * 100 / max(1, target)) - running) if needed else 0


def fresh_place(supply: Supply, number: int, beside: Iterable[Place]) -> Place:
    """Return one more instance of a capacity provider, in the zone that has the fewest *beside* it.

    Source: EC2 Auto Scaling User Guide, "Auto Scaling benefits for application architecture" (zones are kept
    balanced).
    """
    zones = Counter(dict.fromkeys(supply.zones, 0))
    zones.update(place.zone for place in beside if place.zone in zones or not supply.zones)
    zone = min(zones, key=lambda each: zones[each]) if zones else ""
    return Place(
        arn=f"new-{supply.name}-{number}",
        room=supply.fresh_in(zone),
        zone=zone,
        provider=supply.name,
        instance_type=supply.instance_type,
    )


def _best(arns: Sequence[str], board: Board, strategy: Sequence[Mapping[str, Any]]) -> str:
    """Return the instance that the placement strategies choose, in their order; the emptiest of equals.

    Source: AWS page "Use strategies to define Amazon ECS task placement".
    """
    found = list(arns)
    for each in strategy:
        kind, name = str(each.get("type")).lower(), str(each.get("field") or "instanceId")
        if kind == "spread":
            counts: Counter[str] = Counter()
            for arn, number in board.ours.items():
                counts[_value(board, arn, name)] += number
            least = min(counts[_value(board, arn, name)] for arn in found)
            found = [arn for arn in found if counts[_value(board, arn, name)] == least]
        elif kind == "binpack":
            free = {
                arn: board.rooms[arn].cpu if name.lower() == "cpu" else board.rooms[arn].memory
                for arn in found
            }
            least_free = min(free.values())
            found = [arn for arn in found if free[arn] == least_free]
        else:
            return found[0]
    return min(found, key=lambda arn: board.tasks[arn])


def _value(board: Board, arn: str, name: str) -> str:
    if name.lower() in {"instanceid", "host"}:
        return arn
    if name == _ZONE:
        return board.places[arn].zone
    return board.rooms[arn].attributes.get(name.removeprefix("attribute:")) or ""
