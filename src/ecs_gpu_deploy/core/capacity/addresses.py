"""Whether the subnets of a service have an IP address for each task that a rollout adds.

A task of network mode awsvpc has a network interface of its own, behind a trunk too, with an address of the
subnet it lies in. Sources: Developer Guide, "Allocate a network interface for an Amazon ECS task"; EC2 API
Reference, Subnet (availableIpAddressCount) and "Error codes" (InsufficientFreeAddressesInSubnet).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ecs_gpu_deploy.core.capacity.situation import Situation
from ecs_gpu_deploy.core.capacity.walk import Walk


@dataclass(frozen=True, slots=True, kw_only=True)
class SubnetSeen:
    """A subnet: its Availability Zone, and how many IPv4 addresses are free; None where it has IPv6 alone."""

    id: str
    zone: str = ""
    free: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressLack:
    """What addresses are too few for; `is_certain`: not one new task could start."""

    message: str
    is_certain: bool = False


def address_lack(
    subnets: Sequence[SubnetSeen], situation: Situation, found: Walk, *, on_fargate: bool = False
) -> AddressLack | None:
    """Return what the free addresses do not last for; None where they do, or where that is not known.

    What leaves meanwhile gives its address back, so that only a rollout that may stop no task first is sure
    to find none. Source: that of this module.
    """
    free = {each.id: each.free for each in subnets if each.free is not None}
    if not subnets or len(free) < len(subnets):
        return None
    total, desired, limits = sum(free.values()), situation.limits.desired, situation.limits
    added = found.most - len(situation.old)
    if on_fargate:
        added = desired if situation.staged else min(desired, limits.upper - len(situation.old))
    if added <= 0:
        return None
    names = f"{'subnet' if len(free) == 1 else 'subnets'} {', '.join(free)}"
    if not total and not found.stopped_first and limits.lower >= len(situation.old):
        return AddressLack(
            message=f"The service's {names} {'has' if len(free) == 1 else 'have'} no free IP address, and "
            "each new task of network mode awsvpc needs one: give the service another subnet, or free some.",
            is_certain=True,
        )
    if total < added:
        return AddressLack(
            message=f"The service's {names} {'has' if len(free) == 1 else 'have'} "
            f"{_addresses(total)}, and the rollout holds {added} more at "
            "once than now: a task that gets none does not start."
        )
    by_zone: Counter[str] = Counter()
    for each in subnets:
        by_zone[each.zone] += each.free or 0
    crowded = [
        zone for zone, number in sorted(found.zones.items()) if zone in by_zone and by_zone[zone] < number
    ]
    if not crowded or found.waves > 1 or found.stopped_first:
        return None
    zone = crowded[0]
    return AddressLack(
        message=f"The service's subnets in {zone} have "
        f"{_addresses(by_zone[zone])}, and {found.zones[zone]} new tasks "
        "find their instances there: one that gets none does not start."
    )


def _addresses(number: int) -> str:
    return f"{number or 'no'} free IP {'address' if number == 1 else 'addresses'}"
