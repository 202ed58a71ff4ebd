"""Will it fit: the answer that a person wants before a rollout, with what would let it where it cannot.

Source: docs/aws-facts.md#rounding and #gpus-of-an-instance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from ecs_gpu_deploy.core.capacity.fit import Requirement, Shortfall, shortfalls, unmet_constraints
from ecs_gpu_deploy.core.capacity.situation import Place, Situation
from ecs_gpu_deploy.core.capacity.walk import Walk, walk
from ecs_gpu_deploy.core.text import count, plain


class Fit(StrEnum):
    """Whether a rollout finds room.

    FITS: every new task finds a place as soon as the percentages let it start. CRAWLS: some wait until old
    tasks have left. SCALES: some wait for instances that a capacity provider launches. NEVER: it stands
    still. UNKNOWN: what decides cannot be seen, or AWS alone decides.
    """

    FITS = "fits"
    CRAWLS = "crawls"
    SCALES = "scales"
    NEVER = "never"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lack:
    """What one instance lacks for one more task, by AWS's words; empty where it takes one."""

    place: Place
    shortfalls: tuple[Shortfall, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """The answer, the walk that it comes from, a sentence that says why, and each instance as it is now."""

    fit: Fit
    why: str
    walk: Walk
    lacks: tuple[Lack, ...] = ()


_WORDS: Final = {
    Shortfall.INACTIVE: "take no task (DRAINING)",
    Shortfall.AGENT: "have an agent that does not answer",
    Shortfall.ATTRIBUTE: "lack an attribute that the task definition requires",
    Shortfall.MEMBER_OF: "do not meet a placement constraint",
    Shortfall.LOCATION: "are in a zone where no subnet of the service is",
    Shortfall.GPU: "have too few free GPUs",
    Shortfall.MEMORY: "have too little free memory",
    Shortfall.CPU: "have too few free CPU units",
    Shortfall.PORTS: "have the host port in use",
    Shortfall.ENI: "have no free network interface",
}


_MOST_NAMED: Final = 3


def capacity_of(situation: Situation) -> Capacity:
    """Return whether the rollout finds room, per instance and never summed.

    Sources: docs/aws-facts.md#rounding, #gpus-of-an-instance and #provisioning.
    """
    found = walk(situation)
    return Capacity(fit=fit_of(found), why=_why(situation, found), walk=found, lacks=tuple(_lacks(situation)))


def fit_of(found: Walk) -> Fit:
    """Return the answer that a walk stands for."""
    if not found.ends:
        return Fit.NEVER
    if found.launched:
        return Fit.SCALES
    return Fit.CRAWLS if found.lacked_room else Fit.FITS


def _lacks(situation: Situation) -> Sequence[Lack]:
    return [
        Lack(place=place, shortfalls=shortfalls(situation.requirement, place.room))
        for place in situation.pool
    ]


def _why(situation: Situation, found: Walk) -> str:
    limits, desired = situation.limits, situation.limits.desired
    in_waves = f", in {count(found.waves, 'wave')}" if found.waves > 1 else ""
    match fit_of(found):
        case Fit.FITS:
            if found.stopped_first:
                return (
                    f"Each new task finds a place{in_waves}; {count(found.stopped_first, 'old task')} must "
                    f"stop first, for maximumPercent {situation.maximum} allows {limits.upper} at a time."
                )
            if not desired:
                return "No new task is started: the desired count is 0."
            return f"{_all(desired)} new {_tasks(desired)} a place beside the old ones{in_waves}."
        case Fit.CRAWLS:
            return (
                f"New tasks wait for the room of old ones{in_waves}: {_counted(situation)}. "
                f"{found.fewest} of {desired} serve at the least."
            )
        case Fit.SCALES:
            names = " and ".join(
                f"{count(number, 'instance')} from {name}" for name, number in found.launched.items()
            )
            return f"New tasks wait for {names}{in_waves}: {_counted(situation)}."
    if found.silent:
        return (
            f"{count(len(found.silent), 'old task')} cannot leave, for the agent of the instance does not "
            "answer: the deployment would not end."
        )
    if limits.let_nothing_move and not situation.staged:
        return (
            f"minimumHealthyPercent {situation.minimum} keeps {limits.lower} of {desired} tasks and "
            f"maximumPercent {situation.maximum} allows {limits.upper}: nothing may stop, and nothing start."
        )
    if situation.distinct and not any(each.shortfalls for each in _lacks(situation)):
        by = "DAEMON" if situation.daemon else "distinctInstance"
        return (
            f"{_all(found.missing, of=desired)} new {_tasks(found.missing, of=desired)} no place: an "
            f"instance takes one task of this service ({by}), and each has one."
        )
    kept = ""
    if limits.lower >= desired and situation.old and not situation.staged:
        kept = (
            f" minimumHealthyPercent {situation.minimum} keeps the {count(len(situation.old), 'old task')}."
        )
    if situation.staged:
        kept = " The new revision must run whole beside the old one (strategy of the service)."
    finds = f"{_all(found.missing, of=desired)} new {_tasks(found.missing, of=desired)} no place"
    return f"{finds}: {_counted(situation)}.{kept}"


def _all(number: int, *, of: int | None = None) -> str:
    return str(number) if of is None or number == of else f"{number} of {of}"


def _tasks(number: int, *, of: int | None = None) -> str:
    if number == 1 and of not in {None, 1}:
        return "tasks finds"
    return "task finds" if number == 1 else "tasks find"


def _counted(situation: Situation) -> str:
    """Return what the instances lack, the most frequent first: `2 instances have too few free GPUs`."""
    pool = situation.pool
    if not pool:
        return "there is no instance"
    gravest = [each.shortfalls[0] if each.shortfalls else None for each in _lacks(situation)]
    said = [
        f"{number} of {count(len(pool), 'instance')} {_WORDS[kind] if number > 1 else _singular(kind)}"
        f"{_named(situation, kind, gravest)}"
        for kind, number in Counter(gravest).most_common()
        if kind is not None
    ]
    with_room = gravest.count(None)
    if with_room:
        said.append(f"{with_room} {'has' if with_room == 1 else 'have'} room for one more at least")
    return "; ".join(said)


def _named(situation: Situation, kind: Shortfall, gravest: Sequence[Shortfall | None]) -> str:
    """Return which attributes or expressions the instances of that *kind* do not have: ` (gpu-pool)`."""
    if kind not in {Shortfall.ATTRIBUTE, Shortfall.MEMBER_OF}:
        return ""
    requirement = situation.requirement
    asked = (
        replace(requirement, expressions=())
        if kind is Shortfall.ATTRIBUTE
        else replace(requirement, attributes=())
    )
    lacking = [place for place, why in zip(situation.pool, gravest, strict=True) if why is kind]
    unmet = dict.fromkeys(one for place in lacking for one in unmet_constraints(asked, place.room))
    names = [plain(each, limit=120) for each in list(unmet)[:_MOST_NAMED]]
    return f" ({', '.join(names)}{' and others' if len(unmet) > _MOST_NAMED else ''})"


def _singular(kind: Shortfall) -> str:
    words = _WORDS[kind]
    for plural, one in (
        ("have ", "has "),
        ("take ", "takes "),
        ("lack ", "lacks "),
        ("are ", "is "),
        ("do not ", "does not "),
    ):
        if words.startswith(plural):
            return one + words.removeprefix(plural)
    return words


def largest_gpus(requirement: Requirement, places: Sequence[Place]) -> float:
    """Return the most GPUs that an instance has; the requirement's own number where nothing is known."""
    wholes = [place.whole for place in places if place.whole is not None]
    return max((sum(room.gpu_capacity.values()) for room in wholes), default=requirement.gpu_count)
