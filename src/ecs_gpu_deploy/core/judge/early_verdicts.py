"""What we call before AWS does: no room, a deadlock, a crash loop without a breaker, a deadline, the timeout.

Only what is certain is called; AWS's own verdict always comes first where it gives one. The judge takes a
verdict of ours only from a look that asked for everything and was answered (`Snapshot.is_answered`).
"""

from __future__ import annotations

from collections.abc import Sequence

from ecs_gpu_deploy.core.capacity.percents import limits_for
from ecs_gpu_deploy.core.defaults import UNCHECKED_SECONDS
from ecs_gpu_deploy.core.judge.breaker import threshold
from ecs_gpu_deploy.core.judge.evidence import (
    lifetime,
    says_deadlocked,
    says_not_launched,
    signature,
)
from ecs_gpu_deploy.core.judge.observed import History, Snapshot, Watched, by_our_clock, ours_of, up_seconds
from ecs_gpu_deploy.core.judge.phases import PhaseFacts, PhaseName
from ecs_gpu_deploy.core.judge.verdict import Verdict, Waiting, spoken_span
from ecs_gpu_deploy.core.text import excerpt
from ecs_gpu_deploy.model import CircuitBreaker, Deployment, Service, Task, short_id
from ecs_gpu_deploy.result import Outcome

IMPOSSIBLE_SECONDS = 120.0
"""How long nothing may find a place that no instance here could ever take, before we call it."""


def called_by_us(
    watched: Watched, service: Service, history: History, now: float, facts: PhaseFacts | None = None
) -> Verdict | None:
    """Return our own verdict, or None. *facts* carries the deadlines that somebody set."""
    return (
        _no_capacity(watched, history, now)
        or _never_launched(watched, history, now)
        or _deadlock(service, history)
        or _crash_loop(watched, service, history, now)
        or (_late(history, now, facts) if facts is not None else None)
    )


def placement_limit(watched: Watched, history: History) -> float:
    """Return the seconds for which nothing may find a place: fewer where waiting cannot help.

    The bounds are ours: AWS itself ends a task's wait in PROVISIONING late, and whether its breaker counts it
    is not confirmed (docs/aws-facts.md#provisioning, #breaker-and-placement).
    """
    certain = history.shortage is not None and history.shortage.certain
    return placement_seconds(watched.placement_timeout, is_given=watched.placement_given, is_certain=certain)


def placement_seconds(timeout: float, *, is_given: bool, is_certain: bool) -> float:
    """Return for how many seconds nothing may find a place: fewer where that is certain to stay so.

    What somebody gave stands. The bounds are ours, as of `placement_limit`.
    """
    return min(timeout, IMPOSSIBLE_SECONDS) if is_certain and not is_given else timeout


def crash_loop_after(breaker: CircuitBreaker, desired: int, chosen: int | None) -> int | None:
    """Return after how many equal failures in a row we call a crash loop; None where the breaker acts.

    *chosen* is what somebody set. Source: docs/aws-facts.md#circuit-breaker.
    """
    return None if breaker.enable else chosen or threshold(breaker, desired)


def _no_capacity(watched: Watched, history: History, now: float) -> Verdict | None:
    since, counted = history.unplaced_since, history.placement_from
    if since is None or counted is None or now - counted < placement_limit(watched, history):
        return None
    moved = f", {spoken_span(now - counted)} of them without any progress" if counted > since else ""
    reason = f"No place was found for a task of the new revision for {spoken_span(now - since)}{moved}."
    if history.shortage is not None:
        reason += f" {history.shortage.message}"
    return Verdict(outcome=Outcome.NO_CAPACITY, reason=reason, ours=True)


def _never_launched(watched: Watched, history: History, now: float) -> Verdict | None:
    """Call tasks that ECS could not even begin (a role that it may not assume) for the placement timeout.

    ECS tries again for ever, and the breaker counts tasks only.
    """
    if history.live or history.stopped or history.unplaced_since is not None:
        return None
    told = [event for event in history.events if says_not_launched(event)]
    if not told or now - by_our_clock(history, told[0].created_at, now) < watched.placement_timeout:
        return None
    return Verdict(
        outcome=Outcome.FAILED,
        reason=f"No task of the new revision could be launched for {spoken_span(watched.placement_timeout)}. "
        f"AWS says: {excerpt(told[-1].message)}",
        ours=True,
    )


def _deadlock(service: Service, history: History) -> Verdict | None:
    """Call percentages that let nothing move: ECS says so once, and nothing but a change resolves it.

    Its event alone is not enough, for the desired count or the percentages may have changed since: the
    arithmetic must still hold. Sources: page "Amazon ECS service event messages", "unable to stop or start
    tasks during a deployment"; page "Deploy Amazon ECS services by replacing tasks" (the lower limit is
    rounded up, the upper one down).
    """
    desired = service.desired_count
    bounds = limits_for(desired, minimum=service.minimum_healthy_percent, maximum=service.maximum_percent)
    if not bounds.let_nothing_move or not any(map(says_deadlocked, history.events)):
        return None
    return Verdict(
        outcome=Outcome.FAILED,
        reason="The rollout cannot move: minimumHealthyPercent "
        f"{service.minimum_healthy_percent} and maximumPercent {service.maximum_percent} allow "
        f"neither to stop nor to start one of {desired} tasks.",
        ours=True,
    )


def _crash_loop(watched: Watched, service: Service, history: History, now: float) -> Verdict | None:
    """Call a crash loop after as many equal failures in a row as the breaker would have allowed.

    It is one only while nothing of the new revision stays up: a task that runs longer than the failed ones
    did is not part of it. Sources: page "How the Amazon ECS deployment circuit breaker detects failures"; API
    reference, "Deployment", failedTasks ("Once a service deployment has one or more successfully running
    tasks, the failed task count resets to zero and stops being evaluated").
    """
    chosen = watched.crash_loop_threshold
    allowed = crash_loop_after(service.circuit_breaker, service.desired_count, chosen)
    failures = history.since_healthy
    if (
        allowed is None
        or len(failures) < allowed
        or len({signature(task) for task in failures[-allowed:]}) > 1
    ):
        return None
    if not _was_retried(failures):
        return None
    longest = max(lifetime(task) for task in failures[-allowed:])
    if any(
        task.last_status == "RUNNING" and up_seconds(history, task, now) >= longest for task in history.live
    ):
        return None
    on = "without a circuit breaker ECS would go on for ever"
    if service.deployment_controller == "CODE_DEPLOY":
        on = "CodeDeploy would go on for an hour"
    return Verdict(
        outcome=Outcome.FAILED,
        reason=f"A crash loop: {len(failures)} tasks in a row failed the same way and none became "
        f"healthy; {on}.",
        ours=True,
    )


def _was_retried(failures: Sequence[Task]) -> bool:
    """Say whether the failures are more than some first tasks that side by side never started.

    A pull limit or a secret that comes late passes; a task that ECS started after such a failure tells.
    """
    if any(task.started_at for task in failures):
        return True
    first = min((task.stopped_at for task in failures if task.stopped_at), default=None)
    return first is None or any(task.created_at is None or task.created_at >= first for task in failures)


def _late(history: History, now: float, facts: PhaseFacts) -> Verdict | None:
    """Call a phase that made no progress for longer than somebody allows it to."""
    limit = facts.given.get(history.phase)
    since = max(history.phase_since, history.progress_at)
    if limit is None or now - since < limit:
        return None
    outcome = Outcome.NO_CAPACITY if history.phase == PhaseName.PLACEMENT else Outcome.TIMED_OUT
    return Verdict(
        outcome=outcome,
        reason=f"The phase {history.phase} made no progress for {spoken_span(now - since)}; its deadline is "
        f"{spoken_span(limit)}.",
        ours=True,
    )


def timed_out(
    watched: Watched, service: Service, history: History, snapshot: Snapshot, waiting: Waiting
) -> Verdict:
    """Return the verdict when the timeout comes first: in which phase, how many tasks, what AWS does."""
    ours = ours_of(watched, service)
    counts = (
        f"{ours.running_count} of {ours.desired_count} new tasks run" if ours else "the new tasks are gone"
    )
    if history.silent_since is not None:
        silent = spoken_span(snapshot.at - history.silent_since)
        counts = f"AWS has not shown the service for {silent}; before that {counts}"
    notes = [waiting.note or (history.shortage.note if history.shortage else "")]
    notes.append(_status(snapshot, ours, history))
    doing = "".join(f"; {note.rstrip('.')}" for note in notes if note)
    return Verdict(
        outcome=Outcome.TIMED_OUT,
        reason=f"Not finished after {spoken_span(watched.timeout)}: in phase {history.phase}, "
        f"{counts}{doing}.",
        ours=True,
    )


def _status(snapshot: Snapshot, ours: Deployment | None, history: History) -> str:
    """Return what AWS calls our deployment, and its age as far as AWS's clock is known.

    Where the service deployment is not shown, the classic one tells; "" where that has no state either.
    """
    if snapshot.codedeploy is not None:
        codedeploy = snapshot.codedeploy.deployment
        name, created = f"the deployment {codedeploy.id}", codedeploy.created_at
        status = str(codedeploy.status)
    elif snapshot.deployment is not None:
        name, created = (
            f"the service deployment {short_id(snapshot.deployment.arn)}",
            snapshot.deployment.created_at,
        )
        status = str(snapshot.deployment.status) or "nothing"
    elif ours is not None and ours.rollout_state:
        name, status, created = f"the deployment {ours.id}", str(ours.rollout_state), ours.created_at
    else:
        return ""
    if history.offset is None or not created:
        return f"AWS calls {name} {status}"
    age = max(snapshot.at + history.offset - created, 0.0)
    return f"AWS calls {name} {status}, {spoken_span(age)} after it was created"


def settle_seconds(watched: Watched, history: History, failed: int) -> float:
    """Return for how long a finished rollout must stay up to be called good, given *failed* tasks of it.

    As long as its tasks took to fail, from `UNCHECKED_SECONDS` to `SETTLE_MOST`, unless somebody set it.
    """
    if watched.settle_seconds is not None:
        return watched.settle_seconds
    if not failed:
        return 0.0
    longest = max((lifetime(task) for task in history.stopped), default=0.0)
    return min(max(longest, UNCHECKED_SECONDS), SETTLE_MOST)


SETTLE_MOST = 120.0
"""The longest settle time that we choose ourselves, in seconds."""
