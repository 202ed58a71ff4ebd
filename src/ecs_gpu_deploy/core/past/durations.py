"""How long this service's tasks took before: to pull, start, load, stop, and an instance to come.

AWS keeps the timestamps of tasks for about an hour after their end, and none of when one became healthy: that
is read off the service's events, for ECS stops an old task once a new one is healthy. Sources:
docs/aws-facts.md#task-timeline, #stopped-tasks and #service-events.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Final

from ecs_gpu_deploy.core.judge.phases import bake_of
from ecs_gpu_deploy.core.text import count
from ecs_gpu_deploy.model import Deployment, Event, RolloutState, Service, Task, short_id

NOT_SEEN: Final = "not seen: default"
_TAG: Final = "measured"
_TOLD: Final = re.compile(r"(?<!\S)(pull|start|load|stop|launch)=(\d+(?:\.\d+)?)(?!\S)", re.ASCII)
_LONGEST_SECONDS: Final = 86_400.0
"""What a tag says of longer ones was not measured by us: others may write it too."""
_LEAVES: Final = (
    re.compile(r"has begun draining connections on (\d+) tasks"),
    re.compile(r"has stopped (\d+) running tasks"),
)
_COMPLETED: Final = re.compile(r"\(deployment (\S+)\) deployment completed")
_SOON_SECONDS: Final = 3.0
_STAGES_SECONDS: Final = 25.0
"""What the stages between the last healthy task and the bake take together where they only shift traffic."""
_DEFAULTS: Final = {"pull": 120.0, "start": 10.0, "load": 180.0, "stop": 10.0, "launch": 180.0}
"""What is reckoned with where nothing was seen, in seconds: guesses of ours, and said to be."""


_WARM_SECONDS: Final = 60.0
"""What an instance of a warm pool is reckoned to take to join the cluster: a guess of ours, and said so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Duration:
    """A duration in seconds, and where it comes from."""

    seconds: float
    source: str

    @property
    def is_seen(self) -> bool:
        """Say whether it was measured or given, not guessed."""
        return not self.source.startswith("not seen")


@dataclass(frozen=True, slots=True, kw_only=True)
class Durations:
    """How long a new task pulls, starts, loads (from RUNNING to healthy), an old one stops, EC2 launches."""

    pull: Duration
    start: Duration
    load: Duration
    stop: Duration
    launch: Duration

    @property
    def named(self) -> Mapping[str, Duration]:
        """Return them by name, in their order."""
        return {
            "pull": self.pull,
            "start": self.start,
            "load": self.load,
            "stop": self.stop,
            "launch": self.launch,
        }


def warmed(durations: Durations, number: int, state: str) -> Durations:
    """Return the durations where all instances that are launched wait in a warm pool of *number* already.

    A launch that was measured stays as it is. Source: EC2 Auto Scaling User Guide, "Decrease latency for
    applications with long boot times using warm pools".
    """
    if durations.launch.is_seen:
        return durations
    source = f"not seen: a guess for the {count(number, 'instance')} of the warm pool ({state or 'Stopped'})"
    return replace(durations, launch=Duration(seconds=_WARM_SECONDS, source=source))


def durations_of(
    service: Service,
    tasks: Sequence[Task],
    told: Mapping[str, str],
    earlier: Mapping[str, Mapping[str, str]] | None = None,
) -> Durations:
    """Return the durations of *service* as far as its *tasks* (running and lately stopped) tell.

    *told* are the provenance tags of the revision that it runs, which hold what a rollout of ours saw;
    *earlier* are those of earlier revisions by their ARN, newest first, for what neither shows.
    """
    seen = dict(_from_tag(told, short_id(service.task_definition)))
    for name, duration in _measured_on(service, tasks).items():
        seen.setdefault(name, duration)
    for arn, about in (earlier or {}).items():
        for name, duration in _from_tag(about, short_id(arn)):
            seen.setdefault(name, duration)
    return Durations(
        **{
            name: seen.get(name) or Duration(seconds=default, source=NOT_SEEN)
            for name, default in _DEFAULTS.items()
        }
    )


def lacks_any(durations: Durations) -> bool:
    """Say whether something was not seen that any rollout tells; not every one waits for an instance."""
    return not all(each.is_seen for name, each in durations.named.items() if name != "launch")


def measured_after(service: Service, tasks: Sequence[Task]) -> dict[str, float]:
    """Return what a rollout that ended well has shown, in seconds by name; *service* as it is after it.

    *tasks* are those of the new revision, and the old ones that left.
    """
    return {name: each.seconds for name, each in _measured_on(service, tasks).items()}


def measured_by(about: Mapping[str, str]) -> dict[str, float]:
    """Return the seconds by name that the tags of a revision (short key → value) keep of its rollout."""
    told = {name: float(seconds) for name, seconds in _TOLD.findall(about.get(_TAG, ""))}
    return {name: seconds for name, seconds in told.items() if seconds <= _LONGEST_SECONDS}


def _measured_on(service: Service, tasks: Sequence[Task]) -> dict[str, Duration]:
    """Return what the timestamps of *tasks* and the events of *service* tell."""
    runs = [task for task in tasks if task.task_definition_arn == service.task_definition]
    revision = short_id(service.task_definition)
    waited = [
        task.pull_started_at - task.created_at
        for task in tasks
        if task.pull_started_at and task.created_at and task.pull_started_at - task.created_at > 90
    ]
    measured = {
        "pull": _measured((_between(t.pull_started_at, t.pull_stopped_at) for t in runs), f"of {revision}"),
        "start": _measured((_between(t.pull_stopped_at, t.started_at) for t in runs), f"of {revision}"),
        "load": _load(service, runs, tasks),
        # To the end of its containers: a network interface is detached after that.
        "stop": _measured(
            (_between(t.stopping_at, t.execution_stopped_at or t.stopped_at) for t in tasks),
            "that stopped",
        ),
        # The metric that scaling follows comes once a minute (docs/aws-facts.md#provisioning).
        "launch": _measured((wait - 60 for wait in waited), "that waited for an instance"),
    }
    return {name: duration for name, duration in measured.items() if duration is not None}


def measured_tag(seconds: Mapping[str, float]) -> dict[str, str]:
    """Return the tag (short key → value) that keeps what a rollout of ours saw: seconds by name."""
    parts = [f"{name}={tenth:g}" for name in _DEFAULTS if (tenth := round(seconds.get(name, 0.0), 1))]
    return {_TAG: " ".join(parts)} if parts else {}


def _from_tag(about: Mapping[str, str], revision: str) -> Iterable[tuple[str, Duration]]:
    for name, seconds in measured_by(about).items():
        yield name, Duration(seconds=seconds, source=f"measured on the rollout of {revision}")


def _between(began: float | None, ended: float | None) -> float | None:
    return None if began is None or ended is None else max(0.0, ended - began)


def _measured(seconds: Iterable[float | None], what: str) -> Duration | None:
    known = [each for each in seconds if each is not None]
    if not known:
        return None
    return Duration(seconds=median(known), source=f"measured on {count(len(known), 'task')} {what}")


def _load(service: Service, runs: Sequence[Task], tasks: Sequence[Task]) -> Duration | None:
    """Return how long the running deployment's tasks loaded, by the first old one that only then may leave.

    Where old ones might go first, it is by the completion: once the old ones of *tasks* are gone, that is
    when the last of *runs* became healthy. Stages shift and bake before old ones leave.
    """
    primary = service.primary
    if primary is None:
        return None
    completed = next(
        (
            event.created_at
            for event in service.events
            if (told := _COMPLETED.search(event.message)) and told[1] == primary.id
        ),
        None,
    )
    if completed is None and primary.rollout_state != RolloutState.IN_PROGRESS:
        # AWS shows the newest hundred events: what left since then need not have made room for a new task.
        return None
    began = [t.started_at for t in runs if t.started_at and (t.created_at or 0.0) >= primary.created_at - 1]
    began = [each for each in began if completed is None or each < completed]
    if not began:
        return None
    revision = short_id(primary.task_definition)
    since = [event for event in service.events if event.created_at >= primary.created_at]
    is_staged = service.strategy not in {"", "ROLLING"}
    desired = max(service.desired_count, service.running_count)
    may_go_first = 0 if is_staged else desired * (100 - service.minimum_healthy_percent) // 100
    left = _first_that_left(since, min(began), before=may_go_first)
    if left is not None and is_staged:
        seconds = left - max(began) - bake_of(service) - _STAGES_SECONDS
        source = f"at most, read off the events of the deployment of {revision}"
        return Duration(seconds=max(0.0, seconds), source=source)
    if left is not None and (completed is None or left < completed):
        return Duration(
            seconds=left - min(began), source=f"read off the events of the deployment of {revision}"
        )
    if completed is None:
        return None
    seconds = completed - max(began)
    if _last_gone(since, tasks, primary) < completed - _SOON_SECONDS:
        return Duration(seconds=seconds, source=f"read off the completion of the deployment of {revision}")
    if seconds >= _DEFAULTS["load"]:
        return None
    return Duration(seconds=seconds, source=f"at most, by the completion of the deployment of {revision}")


def _last_gone(events: Sequence[Event], tasks: Sequence[Task], primary: Deployment) -> float:
    """Return when the last old task was gone; before all time where none left, never where that is unseen."""
    if not any(pattern.search(event.message) for event in events for pattern in _LEAVES):
        return -math.inf
    ends = [
        task.stopped_at or math.inf
        for task in tasks
        if task.started_by != primary.id and (task.stopped_at or math.inf) >= primary.created_at
    ]
    return max(ends, default=math.inf)


def _first_that_left(events: Sequence[Event], after: float, *, before: int) -> float | None:
    """Return when a task left that only a healthy new one lets go: *before* it so many may go without one."""
    found = []
    for pattern in _LEAVES:
        gone = 0
        for event in sorted(events, key=lambda each: each.created_at):
            if told := pattern.search(event.message):
                gone += int(told[1])
                if gone > before and event.created_at > after:
                    found.append(event.created_at)
                    break
    return min(found, default=None)
