"""What would let a rollout fit: each change of a setting, tried by walking through it.

Source: docs/aws-facts.md#rounding, #provisioning and #deployment-strategies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from ecs_gpu_deploy.core.capacity.answer import Fit, fit_of, largest_gpus
from ecs_gpu_deploy.core.capacity.fit import ZONE, Requirement, Shortfall, fits, shortfalls
from ecs_gpu_deploy.core.capacity.gpus import GpuKind, GpuRequest
from ecs_gpu_deploy.core.capacity.percents import maximum_to_add, minimum_to_free
from ecs_gpu_deploy.core.capacity.situation import Place, Situation, Supply
from ecs_gpu_deploy.core.capacity.walk import Walk, walk
from ecs_gpu_deploy.core.text import count

MOST: Final = 3
"""How many remedies are told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedy:
    """A change that lets the rollout end: what to set, how it then goes, and what it costs.

    `code` names the setting, `less` is how many of the desired tasks do not serve at the worst moment,
    `instances` how many more run at the most, of `instance_type`. `situation` is the one with the change.
    """

    code: str
    change: str
    fit: Fit
    walk: Walk
    less: int
    instances: int = 0
    instance_type: str = ""
    situation: Situation


def remedies_of(situation: Situation) -> tuple[Remedy, ...]:
    """Return what would let a rollout end that stands still, or fit one that crawls: at most three."""
    now = fit_of(walk(situation))
    if now is Fit.NEVER:
        tried = (*_percentages(situation), *_more(situation), *_other(situation))
        return tuple(each for each in tried if each.fit is not Fit.NEVER)[:MOST]
    if now is Fit.CRAWLS:
        return tuple(each for each in _more(situation, until=Fit.FITS) if each.fit is Fit.FITS)[:1]
    return ()


def _tried(code: str, change: str, situation: Situation, *, instances: int = 0, kind: str = "") -> Remedy:
    found = walk(situation)
    return Remedy(
        code=code,
        change=change,
        fit=fit_of(found),
        walk=found,
        less=max(0, situation.limits.desired - found.fewest),
        instances=instances or sum(found.launched.values()),
        instance_type=kind or next((each.instance_type for each in situation.supplies), ""),
        situation=situation,
    )


def _percentages(situation: Situation) -> Iterator[Remedy]:
    """Try to let old tasks go first, as few as it takes, and then to let more run at a time."""
    if situation.staged:
        return
    desired, minimum, maximum = situation.limits.desired, situation.minimum, situation.maximum

    def freeing(number: int) -> Remedy | None:
        percent = minimum_to_free(desired, number)
        if percent >= minimum:
            return None
        remedy = _tried(
            "minimum-healthy-percent",
            f"Set minimumHealthyPercent to {percent} ({minimum} now): "
            f"{count(number, 'old task')} may stop first.",
            situation.with_limits(minimum=percent, maximum=maximum),
        )
        return None if remedy.fit is Fit.NEVER else remedy

    if (remedy := _fewest(desired, freeing)) is not None:
        yield remedy
    # AWS takes no maximumPercent above 100 for a DAEMON (docs/aws-facts.md#rounding).
    if situation.limits.upper <= desired and not situation.daemon:
        percent = maximum_to_add(desired)
        yield _tried(
            "maximum-percent",
            f"Set maximumPercent to {percent} ({maximum} now): one new task may start beside the old ones.",
            situation.with_limits(minimum=minimum, maximum=percent),
        )


def _more(situation: Situation, *, until: Fit | None = None) -> Iterator[Remedy]:
    """Try further instances, as few as it takes: by the group's maximum where one scales, else by hand."""
    supply = next((each for each in situation.supplies if each.weight or each.base), None)
    place = None if situation.daemon else _model_of(situation, supply)
    if place is None:
        return
    if supply is not None and supply.suspended and until is None:
        resumed = replace(supply, more=supply.more + supply.suspended, suspended=0)
        remedy = _tried(
            "group-launches",
            f"Resume the process Launch of {supply.name}'s Auto Scaling group, which is suspended.",
            replace(situation, supplies=[resumed if each is supply else each for each in situation.supplies]),
        )
        if remedy.fit is not Fit.NEVER:
            yield remedy
            return
    kind = place.instance_type
    zone = f" in {place.zone}" if situation.requirement.zones and place.zone else ""
    of = f" ({kind}{zone})" if kind else zone

    def growing(number: int) -> Remedy:
        if supply is not None and supply.managed and until is None:
            supplies = [
                replace(each, more=each.more + number) if each is supply else each
                for each in situation.supplies
            ]
            return _tried(
                "group-maximum",
                f"Raise the maximum of {supply.name}'s Auto Scaling group by {number}{of}.",
                replace(situation, supplies=supplies),
                kind=kind,
            )
        added = [replace(place, arn=f"added-{n}", name="", tasks=0) for n in range(number)]
        return _tried(
            "instances",
            f"Add {count(number, 'instance')}{of} for the rollout.",
            situation.with_more_places(added),
            instances=number,
            kind=kind,
        )

    def helping(number: int) -> Remedy | None:
        remedy = growing(number)
        helps = remedy.fit is not Fit.NEVER and (until is None or remedy.fit is until)
        return remedy if helps else None

    if (fewest := _fewest(situation.limits.desired, helping)) is not None:
        yield fewest


def _fewest(most: int, attempt: Callable[[int], Remedy | None]) -> Remedy | None:
    """Return the remedy of the lowest number up to *most* that helps, None for none; more help as well.

    Doubled and then halved, for a walk takes long where there are hundreds of tasks.
    """
    low, high = 0, 1
    while (found := attempt(high)) is None:
        if high >= most:
            return None
        low, high = high, min(most, 2 * high)
    while high - low > 1:
        middle = (low + high) // 2
        if (fewer := attempt(middle)) is None:
            low = middle
        else:
            found, high = fewer, middle
    return found


def _model_of(situation: Situation, supply: Supply | None) -> Place | None:
    """Return an empty instance of the kind that would be added; None where none here takes such a task."""
    fresh = supply.fresh_for(situation.requirement) if supply is not None else None
    if supply is not None and fresh is not None:
        zone = fresh.attributes.get(ZONE) or ""
        return Place(arn="", room=fresh, provider=supply.name, instance_type=supply.instance_type, zone=zone)
    for place in situation.pool:
        if place.whole is None:
            continue
        for zone in dict.fromkeys((place.zone, *situation.requirement.zones)):
            attributes = {**place.whole.attributes, ZONE: zone} if zone else place.whole.attributes
            room = replace(place.whole, active=True, agent_connected=True, attributes=attributes)
            if fits(situation.requirement, room):
                return replace(place, room=room, zone=zone)
    return None


def _other(situation: Situation) -> Iterator[Remedy]:
    """Try what else keeps tasks out: draining or silent instances, the strategy, the number of GPUs."""
    idle = [place for place in situation.pool if not place.room.active or not place.room.agent_connected]
    if idle:
        back = {
            place.arn: replace(place, room=replace(place.room, active=True, agent_connected=True))
            for place in idle
        }
        names = ", ".join(place.name or place.arn for place in idle[:MOST])
        yield _tried(
            "instances-back",
            f"Bring back {count(len(idle), 'instance')} that {'takes' if len(idle) == 1 else 'take'} no task "
            f"now: {names}.",
            replace(
                situation,
                places=[back.get(place.arn, place) for place in situation.places],
                old=[replace(task, can_stop=True) for task in situation.old],
            ),
        )
    if zones := _unreached(situation):
        one = len(zones) == 1
        yield _tried(
            "subnets",
            f"Give the service {'a subnet' if one else 'subnets'} in {' and '.join(zones)}: instances with "
            f"room are there, and its subnets lie in {' and '.join(situation.requirement.zones)}.",
            replace(situation, requirement=replace(situation.requirement, zones=())),
        )
    if situation.staged:
        yield _tried(
            "strategy",
            "Deploy with the strategy ROLLING: it needs room for one task at a time, not for all of them.",
            replace(situation, staged=False),
        )
    most = int(largest_gpus(situation.requirement, situation.pool))
    if 0 < most < situation.requirement.gpu_count:
        yield _tried(
            "gpus",
            f"Ask for {count(most, 'GPU')} a task: the largest instance here has no more.",
            replace(situation, requirement=_with_gpus(situation.requirement, most)),
        )


def _unreached(situation: Situation) -> list[str]:
    """Return the zones in which instances have room for a task and none of its subnets lies."""
    return sorted(
        {
            place.zone
            for place in situation.pool
            if shortfalls(situation.requirement, place.room) == (Shortfall.LOCATION,)
        }
    )


def _with_gpus(requirement: Requirement, number: int) -> Requirement:
    name = requirement.gpus[0][0]
    return replace(requirement, gpus=((name, GpuRequest(kind=GpuKind.COUNT, count=number)),))
