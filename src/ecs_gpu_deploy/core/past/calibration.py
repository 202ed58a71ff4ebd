"""What the last 90 days say of the next rollout: medians for the model, and how far off it may be.

AWS keeps of a past deployment when it was created and finished, how it ended and its percentages; of its
tasks nothing after about an hour (docs/aws-facts.md#service-deployment-states, #stopped-tasks). How long they
pulled, started, loaded and stopped, the tags of the revisions tell that this program deployed and watched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any, Final, Self

from ecs_gpu_deploy.core.past.durations import Duration, Durations, measured_by
from ecs_gpu_deploy.core.past.scores import LEAST, Score, all_scores, ratios_of
from ecs_gpu_deploy.core.text import count
from ecs_gpu_deploy.model import Service, epoch, short_id, text_in

DAYS: Final = 90
"""So long AWS lists service deployments (Developer Guide, "View service history")."""
LEAST_MEASURED: Final = 3
"""Of fewer rollouts the newest is taken, not the median."""
_FITTED: Final = ("load", "stop")
"""What whole durations may be fitted to: what is not measured of it, the first one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRollout:
    """A service deployment of the past that succeeded, and lasted so many `seconds`.

    `pace` are minimumHealthyPercent, maximumPercent and the strategy, None in a brief, which does not say
    them; `is_first` says that nothing ran before it.
    """

    arn: str
    seconds: float
    pace: tuple[int, int, str] | None = None
    is_first: bool = False

    @classmethod
    def from_api(cls, api: Mapping[str, Any]) -> Self:
        """Read ServiceDeployment or ServiceDeploymentBrief; one that has no end lasted 0 seconds.

        Source: API Reference, ServiceDeployment.
        """
        created, finished = epoch(api.get("createdAt")), epoch(api.get("finishedAt"))
        configuration = api.get("deploymentConfiguration") or {}
        pace = None
        if configuration.get("maximumPercent") is not None:
            strategy = str(configuration.get("strategy") or "ROLLING")
            lowest, most = configuration.get("minimumHealthyPercent", 100), configuration["maximumPercent"]
            pace = (int(lowest), int(most), strategy)
        return cls(
            arn=text_in(api, "serviceDeploymentArn"),
            seconds=finished - created if created and finished else 0.0,
            pace=pace,
            is_first="sourceServiceRevisions" in api and not api["sourceServiceRevisions"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What the past of a service tells, and that of others.

    `measured` are seconds by name, one a rollout; `lasted` are the seconds of the whole rollouts with the
    percentages that the service has now; `scores` are those that were foreseen. `others` are the errors of
    rollouts of `services` other services, actual over predicted or over the median of its own.
    """

    measured: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    lasted: tuple[float, ...] = ()
    scores: tuple[Score, ...] = ()
    others: tuple[float, ...] = ()
    services: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Errors:
    """The errors of earlier rollouts, actual over predicted, and whose they are."""

    ratios: tuple[float, ...]
    source: str


def calibration_of(
    service: Service,
    own: Sequence[PastRollout],
    others: Mapping[str, Sequence[PastRollout]],
    tags: Mapping[str, Mapping[str, str]],
) -> Calibration:
    """Return what is told by rollouts that succeeded, *own* and those of *others* by their name.

    *tags* are those of task definitions, by ARN: what our rollouts measured and foresaw.
    """
    family = _family(service.task_definition)
    ours = {arn: about for arn, about in tags.items() if _family(arn) == family}
    foreign = {arn: about for arn, about in tags.items() if arn not in ours}
    measured: dict[str, list[float]] = {}
    for about in ours.values():
        for name, seconds in measured_by(about).items():
            measured.setdefault(name, []).append(seconds)
    # An instance of the cluster comes as quickly for one service as for another.
    launches = [told["launch"] for about in foreign.values() if "launch" in (told := measured_by(about))]
    if launches and "launch" not in measured:
        measured["launch"] = launches
    errors = [ratio for score in all_scores(foreign.values()).values() if (ratio := score.ratio) is not None]
    for each in others.values():
        errors += ratios_of(_lasted(each))
    told_of = {_family(arn) for arn, about in foreign.items() if all_scores([about])}
    return Calibration(
        measured={name: tuple(found) for name, found in measured.items()},
        lasted=_lasted(each for each in own if _compares(each, service)),
        scores=tuple(all_scores(ours.values()).values()),
        others=tuple(errors),
        services=len(told_of | {name for name, each in others.items() if len(_lasted(each)) > 1}),
    )


def _family(arn: str) -> str:
    return short_id(arn).rpartition(":")[0]


def _lasted(rollouts: Iterable[PastRollout]) -> tuple[float, ...]:
    return tuple(each.seconds for each in rollouts if each.seconds > 0)


def _compares(rollout: PastRollout, service: Service) -> bool:
    """Say whether a rollout ran as one would now, and is not the first one, which no old task is in."""
    now = (service.minimum_healthy_percent, service.maximum_percent, service.strategy or "ROLLING")
    return not rollout.is_first and rollout.pace in {None, now}


def calibrated(durations: Durations, calibration: Calibration) -> Durations:
    """Return *durations* with the medians of the past where enough rollouts tell it, or nothing else does."""
    found = {}
    for name, seconds in calibration.measured.items():
        if len(seconds) >= LEAST_MEASURED or not durations.named[name].is_seen:
            source = f"median of {count(len(seconds), 'rollout')}"
            found[name] = Duration(seconds=median(seconds), source=source)
    return replace(durations, **found)


def to_fit(durations: Durations, calibration: Calibration) -> str:
    """Return the name of what the whole durations of the past may tell; "" where all is measured."""
    if len(calibration.lasted) < LEAST_MEASURED:
        return ""
    return next((name for name in _FITTED if not durations.named[name].is_seen), "")


def fitted_source(calibration: Calibration) -> str:
    """Return where a fitted duration comes from."""
    return f"fitted to how long {count(len(calibration.lasted), 'rollout')} lasted"


def errors_of(calibration: Calibration, seconds: float, *, fits: bool, name: str) -> Errors | None:
    """Return by how much a prediction of *seconds* for the service *name* may be off; None for too few.

    Best are predictions of this service that were scored, then its rollouts of 90 days, then those of other
    services. Where the rollout *fits* as it is, it is held against how long those before it lasted; where it
    waits for room, only against how much they differed from each other.
    """
    scored = tuple(ratio for score in calibration.scores if (ratio := score.ratio) is not None)
    if len(scored) >= LEAST:
        return Errors(ratios=scored, source=f"{len(scored)} scored predictions of {name}")
    lasted = calibration.lasted
    if len(lasted) >= LEAST and seconds > 0:
        ratios = tuple(each / seconds for each in lasted) if fits else ratios_of(lasted)
        return Errors(ratios=ratios, source=f"{len(lasted)} rollouts of {name} in {DAYS} days")
    if len(calibration.others) >= LEAST:
        whose = count(calibration.services, "other service")
        return Errors(ratios=calibration.others, source=f"{len(calibration.others)} rollouts of {whose}")
    return None


def calibration_told(calibration: Calibration, *, fitted: str, name: str, has_interval: bool) -> str:
    """Return in a sentence what the past gave, and that it is too little where it is."""
    rollouts = max((len(each) for each in calibration.measured.values()), default=0)
    parts = [
        f"{count(len(calibration.lasted), 'rollout')} of {name} in {DAYS} days",
        f"{count(rollouts, 'rollout')} with measured tasks",
        f"{count(len(calibration.scores), 'scored prediction')}",
        f"{count(len(calibration.others), 'rollout')} of {count(calibration.services, 'other service')}",
    ]
    told = f"by {', '.join(parts)}"
    told += f"; {fitted} fitted to the whole durations" if fitted else ""
    return told if has_interval else f"{told}; too few for an interval, which takes {LEAST}"
