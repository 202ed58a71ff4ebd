"""What we call before AWS does: no room, a deadlock, a crash loop without a breaker, a deadline, the timeout.

Only what is certain is called; AWS's own verdict always comes first where it gives one.
"""

from __future__ import annotations

from ecs_gpu_deploy.core.judge.breaker import threshold
from ecs_gpu_deploy.core.judge.observed import History, Watched, ours_of, signature
from ecs_gpu_deploy.core.judge.phases import PhaseFacts, PhaseName
from ecs_gpu_deploy.core.judge.verdict import Verdict, Waiting, spoken_span
from ecs_gpu_deploy.model import Service
from ecs_gpu_deploy.result import Outcome

IMPOSSIBLE_SECONDS = 120.0
"""How long nothing may find a place that no instance here could ever take, before we call it."""


def called_by_us(
    watched: Watched, service: Service, history: History, now: float, facts: PhaseFacts | None = None
) -> Verdict | None:
    """Return our own verdict, or None. *facts* carries the deadlines that somebody set."""
    return (
        _no_capacity(watched, history, now)
        or _deadlock(service, history)
        or _crash_loop(watched, service, history)
        or (_late(history, now, facts) if facts is not None else None)
    )


def placement_limit(watched: Watched, history: History) -> float:
    """Return the seconds for which nothing may find a place: fewer where waiting cannot help.

    The bounds are ours: AWS itself ends a task's wait in PROVISIONING late, and whether its breaker counts it
    is not confirmed (docs/aws-facts.md#provisioning, #breaker-and-placement).
    """
    certain = history.shortage is not None and history.shortage.certain
    if certain and not watched.placement_given:
        return min(watched.placement_timeout, IMPOSSIBLE_SECONDS)
    return watched.placement_timeout


def _no_capacity(watched: Watched, history: History, now: float) -> Verdict | None:
    since = history.unplaced_since
    if since is None or now - since < placement_limit(watched, history):
        return None
    reason = f"No place was found for a task of the new revision for {spoken_span(now - since)}."
    if history.shortage is not None:
        reason += f" {history.shortage.message}"
    return Verdict(outcome=Outcome.NO_CAPACITY, reason=reason, ours=True)


def _deadlock(service: Service, history: History) -> Verdict | None:
    """Call percentages that let nothing move: ECS says so once, and nothing but a change resolves it.

    Source: page "Amazon ECS service event messages", "unable to stop or start tasks during a deployment".
    """
    if not any(
        "because of the service deployment configuration" in event.message for event in history.events
    ):
        return None
    return Verdict(
        outcome=Outcome.FAILED,
        reason="The rollout cannot move: minimumHealthyPercent "
        f"{service.minimum_healthy_percent} and maximumPercent {service.maximum_percent} allow "
        f"neither to stop nor to start one of {service.desired_count} tasks.",
        ours=True,
    )


def _crash_loop(watched: Watched, service: Service, history: History) -> Verdict | None:
    """Call a crash loop after as many equal failures in a row as the breaker would have allowed.

    Source: docs/aws-facts.md#circuit-breaker.
    """
    if service.circuit_breaker.enable:
        return None
    allowed = watched.crash_loop_threshold or threshold(service.circuit_breaker, service.desired_count)
    failures = history.since_healthy
    if len(failures) < allowed or len({signature(task) for task in failures[-allowed:]}) > 1:
        return None
    return Verdict(
        outcome=Outcome.FAILED,
        reason=f"A crash loop: {len(failures)} tasks in a row failed the same way and none became "
        "healthy; without a circuit breaker ECS would go on for ever.",
        ours=True,
    )


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


def timed_out(watched: Watched, service: Service, history: History, waiting: Waiting) -> Verdict:
    """Return the verdict when the timeout comes first: in which phase, how many tasks, what AWS does."""
    ours = ours_of(watched, service)
    counts = (
        f"{ours.running_count} of {ours.desired_count} new tasks run" if ours else "the new tasks are gone"
    )
    note = waiting.note or (history.shortage.note if history.shortage else "")
    doing = f"; {note.rstrip('.')}" if note else ""
    return Verdict(
        outcome=Outcome.TIMED_OUT,
        reason=f"Not finished after {spoken_span(watched.timeout)}: in phase {history.phase}, "
        f"{counts}{doing}.",
        ours=True,
    )
