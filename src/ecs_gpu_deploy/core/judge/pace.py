"""How soon to look at AWS again, and at what: often while a verdict may come, half as often while none can.

A verdict that is certain is said within one interval of AWS knowing it. That takes no more calls than AWS's
own steps ask for: before all old tasks were told to stop there is no success, and before enough tasks failed
there is no rollback.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ecs_gpu_deploy.core.judge.batch import BatchHistory, BatchWatched, missing
from ecs_gpu_deploy.core.judge.breaker import threshold
from ecs_gpu_deploy.core.judge.early_verdicts import placement_limit
from ecs_gpu_deploy.core.judge.evidence import VANISHED_SECONDS
from ecs_gpu_deploy.core.judge.observed import History, Snapshot, Watched
from ecs_gpu_deploy.core.judge.phases import PhaseFacts, PhaseName
from ecs_gpu_deploy.model import LifecycleHook, ServiceDeployment, ServiceDeploymentStatus

STRETCH: Final = 2.0
LONG_PULL_SECONDS: Final = 60.0
SHORTEST_SECONDS: Final = 0.2

SERVICE_SECONDS: Final = 20.0
TASKS_SECONDS: Final = 45.0
CHANGED_TASKS_SECONDS: Final = 10.0
INSTANCES_SECONDS: Final = 60.0
TARGET_SECONDS: Final = 10.0
"""How old each view may become, in seconds; the deployment itself is read at every look."""
CALM_FROM_SECONDS: Final = 300.0
CALM_STRETCH: Final = 30.0
CALM_SECONDS: Final = 150.0
"""How seldom AWS is asked in a bake or pause of hours, and at least how often, in seconds."""
STILL_SECONDS: Final = 600.0
QUIET_SECONDS: Final = 40.0
"""After so many seconds without a change of the deployment, service and tasks are read half as often."""

HEARTBEAT_SECONDS: Final = 60.0
"""A log without news gets a line so often, so that nobody takes the job for dead."""
LAST_LOOK_SECONDS: Final = 2.0
"""For each look that the timeout's verdict takes, however slow the network is."""
LONGEST_LOOK_SECONDS: Final = 300.0
"""For a look while AWS rolls back, which no timeout of ours bounds."""
LATE_LINES_SECONDS: Final = 30.0
LATE_LINES_STEP_SECONDS: Final = 5.0
"""How late CloudWatch Logs may show a line (a bound of ours, AWS names none), and how often it is asked."""
LATE_LINES_PAUSES: Final = (3.0, 7.0, 20.0)
"""The same for a batch, one pause after the other: most lines are there after the first one."""
IMAGE_SECONDS: Final = 5.0
"""ECR is asked so often while it scans an image or restores one: both take from seconds to many minutes."""
RESTORE_SECONDS: Final = 1800.0
"""An archived image that is not there after so long is waited for no more: a bound of ours."""
DEREGISTRATIONS_AT_ONCE: Final = 15
DEREGISTRATION_SECONDS: Final = 1.0
"""AWS takes 20 at once, then one a second (docs/aws-facts.md#request-throttling)."""
CANCEL_SECONDS: Final = 4.0
"""A cancelled job has so long to roll back or stop its tasks: SIGKILL comes 10 s after the first signal."""
CANCEL_LOOK_SECONDS: Final = 2.0
"""Of these 10 s, for the look at what a request whose answer was lost has made."""
CANCEL_FIND_SECONDS: Final = 1.5
"""Of these 10 s, for the look at which service deployment there is to roll back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LookTimes:
    """When each view was last read, and when the deployment was last seen to change: epoch seconds."""

    changed_at: float
    service_at: float
    tasks_at: float
    instances_at: float

    def quiet(self, now: float, *, calm: bool = False) -> float:
        """Return the factor by which looks are stretched at *now*: more and more while AWS only waits."""
        since = now - self.changed_at
        if since < QUIET_SECONDS:
            return 1.0
        return min(max(STRETCH, since / QUIET_SECONDS), CALM_STRETCH) if calm else STRETCH


def is_calm(deployment: ServiceDeployment | None, history: History) -> bool:
    """Say whether AWS only waits, for hours perhaps: it bakes, or a hook awaits somebody's action.

    Not while a new task of ours that was seen is not healthy yet. Sources: docs/aws-facts.md#pause-hooks and
    #deployment-strategies.
    """
    if deployment is None or history.healthy < len(history.live):
        return False
    return deployment.lifecycle_stage == "BAKE_TIME" or _awaited(deployment) is not None


def _awaited(deployment: ServiceDeployment) -> LifecycleHook | None:
    return next(iter(deployment.awaited_hooks), None)


def service_is_due(times: LookTimes, now: float, *, news: bool, calm: bool = False) -> bool:
    """Say whether the service is read now; *news* is a change of the deployment, or that it is not seen."""
    return news or now - times.service_at >= SERVICE_SECONDS * times.quiet(now, calm=calm)


def tasks_are_due(times: LookTimes, now: float, *, ended: bool, changed: bool, calm: bool = False) -> bool:
    """Say whether tasks and targets are read now: the deployment *ended*, or the service *changed*."""
    since = now - times.tasks_at
    if ended or (changed and since >= CHANGED_TASKS_SECONDS):
        return True
    return since >= TASKS_SECONDS * times.quiet(now, calm=calm)


def instances_are_due(times: LookTimes, now: float) -> bool:
    """Say whether the container instances are read now, where somebody wants to know what they lack.

    After `STILL_SECONDS` without a change half as often again; before a verdict they are read in any case.
    """
    still = 2.0 if now - times.changed_at >= STILL_SECONDS else 1.0
    return now - times.instances_at >= INSTANCES_SECONDS * times.quiet(now) * still


def seconds_to_next_look(
    watched: Watched,
    facts: PhaseFacts,
    history: History,
    snapshot: Snapshot,
    *,
    interval: float,
    given: bool,
    quiet: float,
) -> float:
    """Return the seconds to the next look.

    *interval* is how often AWS is asked while a verdict may come; *given* says that somebody chose it, and
    then it is never stretched. *quiet* is how long nothing has changed. The look is never later than a moment
    at which we decide ourselves: the timeout, the limit on placement, a deadline that somebody set. One that
    has passed without a decision, since AWS did not answer, makes no look come sooner.
    """
    seconds = interval
    stretched = interval * STRETCH
    if not given and (
        no_verdict_soon(watched, facts, history, snapshot, stretched) or _pulls(history, quiet)
    ):
        seconds = stretched
    if snapshot.deployment is not None and is_calm(snapshot.deployment, history) and not given:
        left = _left(snapshot.deployment, snapshot, history, facts, quiet)
        seconds = interval if quiet < CALM_FROM_SECONDS else _calm_seconds(left, quiet, interval)
    ends = [watched.started_at + watched.timeout]
    if history.placement_from is not None:
        ends.append(history.placement_from + placement_limit(watched, history))
    if (limit := facts.given.get(history.phase)) is not None:
        ends.append(max(history.phase_since, history.progress_at) + limit)
    return _not_after(ends, seconds, now=snapshot.at)


def seconds_to_look_again(interval: float, *, now: float, until: float) -> float:
    """Return the seconds to the next look while we only wait for an end, no later than *until* (epoch)."""
    return max(SHORTEST_SECONDS, min(interval, until - now))


def seconds_to_next_batch_look(
    watched: BatchWatched, history: BatchHistory, now: float, *, interval: float, next_try: float
) -> float:
    """Return the seconds to the next look at a batch.

    It is never later than *next_try* (epoch seconds), when what found no room is started again, nor than a
    moment at which we decide ourselves: the timeout, or that a task has vanished.
    """
    ends = [watched.began + watched.timeout]
    ends += [since + VANISHED_SECONDS for since in history.unknown_since.values()]
    if missing(watched, history):
        ends.append(next_try)
    return _not_after(ends, interval, now=now)


def _not_after(ends: Iterable[float], seconds: float, *, now: float) -> float:
    """Return *seconds*, or fewer where one of the *ends* (epoch seconds) to come is sooner."""
    return max(SHORTEST_SECONDS, min((seconds, *(end - now for end in ends if end > now))))


def _left(
    deployment: ServiceDeployment, snapshot: Snapshot, history: History, facts: PhaseFacts, quiet: float
) -> float:
    """Return the seconds until AWS goes on by itself: a hook that nobody answers expires, a bake time ends.

    Infinite where a hook does not say when it expires.
    """
    if (hook := _awaited(deployment)) is not None:
        return (
            math.inf if hook.expires_at is None else hook.expires_at - snapshot.at - (history.offset or 0.0)
        )
    own = snapshot.service.bake_time_minutes * 60.0 if snapshot.service is not None else 0.0
    return (own or facts.bake) - quiet


def _calm_seconds(left: float, quiet: float, interval: float) -> float:
    """Return the seconds to the next look while AWS only waits: a twentieth of what it has waited.

    *left* is when AWS goes on by itself; around that moment it is asked every *interval* again.
    """
    if -2 * CALM_SECONDS < left < interval:
        return interval
    seconds = max(interval, min(quiet / 20, CALM_SECONDS))
    return min(seconds, left) if left > 0 else seconds


def no_verdict_soon(
    watched: Watched, facts: PhaseFacts, history: History, snapshot: Snapshot, seconds: float
) -> bool:
    """Say whether AWS cannot end this rollout within *seconds*, whatever the tasks do.

    True only where everything that speaks for it was seen: a rolling deployment in progress that no alarm
    watches, an old revision whose tasks are still asked for, and fewer new tasks that could fail at once than
    the circuit breaker (or our own count of a crash loop) allows. What people do meanwhile, to stop or to
    supersede the deployment, is then seen one stretched interval late. Sources:
    docs/aws-facts.md#circuit-breaker and #deployment-strategies (a rolling deployment completes when its
    source tasks are cleaned up).
    """
    deployment, service = snapshot.deployment, snapshot.service
    if deployment is None or service is None or snapshot.stale or service.early_success_percent is not None:
        return False
    if deployment.status not in {ServiceDeploymentStatus.PENDING, ServiceDeploymentStatus.IN_PROGRESS}:
        return False
    if service.strategy not in {"", "ROLLING"} or service.alarms or not deployment.source_requested_tasks:
        return False
    if deployment.running_tasks >= deployment.requested_tasks and facts.deregistration_delay < seconds:
        return False
    breaker = threshold(service.circuit_breaker, service.desired_count)
    failed = max(deployment.breaker_failures, len(history.since_healthy))
    may_fail = max(deployment.requested_tasks, service.desired_count)
    return failed + may_fail < min(breaker, watched.crash_loop_threshold or breaker)


def _pulls(history: History, quiet: float) -> bool:
    """Say whether a long pull, or a long search for a place, goes on in peace."""
    peaceful = history.phase in {PhaseName.PLACEMENT, PhaseName.PULL} and not history.since_healthy
    return peaceful and quiet >= LONG_PULL_SECONDS
