"""What Availability Zone rebalancing needs after a rollout: ECS moves tasks to the zones that have fewer.

Source: Developer Guide, "Balancing an Amazon ECS service across Availability Zones": a task is started in
another zone before one is stopped, so that room for one more is needed, in the instances and by
maximumPercent; a DAEMON, and a service whose maximumPercent is 100, are not rebalanced.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ecs_gpu_deploy.core.capacity.fit import fits
from ecs_gpu_deploy.core.capacity.situation import Place, Situation
from ecs_gpu_deploy.core.capacity.walk import Walk


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebalancing:
    """Tasks that ECS will want to move after the rollout: how they lie, and whether one finds room."""

    message: str
    hint: str
    finds_room: bool


def rebalancing_of(situation: Situation, found: Walk) -> Rebalancing | None:
    """Return what rebalancing needs once the rollout of *found* has ended; None where nothing is to move.

    Source: Developer Guide, "Balancing an Amazon ECS service across Availability Zones".
    """
    zones = {place.zone for place in situation.pool if _takes_one(situation, place)} - {""}
    lie = {zone: found.zones.get(zone, 0) for zone in sorted(zones | set(found.zones))}
    if situation.daemon or not found.ends or not zones or max(lie.values()) - min(lie.values()) < 2:
        return None
    least = min(lie, key=lambda zone: lie[zone])
    told = (
        f"After it, the tasks lie unevenly over the zones ({', '.join(f'{z}: {n}' for z, n in lie.items())})"
    )
    if situation.limits.upper <= situation.limits.desired:
        return Rebalancing(
            message=f"{told}, and ECS does not rebalance them: maximumPercent {situation.maximum} allows no "
            "task more.",
            hint="Set maximumPercent above 100, or availabilityZoneRebalancing to DISABLED.",
            finds_room=False,
        )
    moves = f"{told}. Availability Zone rebalancing starts a task in {least} before it stops one elsewhere"
    if least in found.open_zones:
        return Rebalancing(
            message=f"{moves}: it takes a further GPU there meanwhile.", hint="", finds_room=True
        )
    return Rebalancing(
        message=f"{moves}, and no instance there has room for it.",
        hint=f"Keep room for one task free in {least}, or set availabilityZoneRebalancing to DISABLED.",
        finds_room=False,
    )


def _takes_one(situation: Situation, place: Place) -> bool:
    """Say whether an instance takes such a task once nothing else runs on it."""
    room = place.room if place.whole is None else place.whole
    return fits(situation.requirement, replace(room, active=place.room.active))
