"""Is what AWS calls finished what we asked for: ours, running, healthy, with the pushed digest?

SUCCESSFUL alone is not that: it can come with a desired count of 0, under early success criteria before all
tasks run, and seconds before the rest of AWS's views show it (page "Early success criteria").
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ecs_gpu_deploy.core.judge.breaker import threshold
from ecs_gpu_deploy.core.judge.early_verdicts import settle_seconds
from ecs_gpu_deploy.core.judge.evidence import (
    SETTLE_SECONDS,
    fails_checks,
    is_failure,
    is_leaving,
    passes_checks,
)
from ecs_gpu_deploy.core.judge.observed import History, Snapshot, Watched, is_ours, up_seconds
from ecs_gpu_deploy.core.judge.phases import PhaseFacts
from ecs_gpu_deploy.core.judge.verdict import Verdict, Waiting
from ecs_gpu_deploy.core.text import count
from ecs_gpu_deploy.model import Service, TargetHealth, Task
from ecs_gpu_deploy.result import Outcome

LAG_SECONDS = 180.0
"""How long DescribeServices may show the deployment from before ours, after AWS has called ours finished."""


def confirmed(
    watched: Watched,
    snapshot: Snapshot,
    service: Service,
    history: History,
    *,
    now: float,
    facts: PhaseFacts | None = None,
) -> Verdict | Waiting:
    """Return the verdict over a deployment that AWS calls finished; Waiting while its views disagree."""
    waited = now - (now if history.success_since is None else history.success_since)
    primary = service.primary
    lags = False
    if primary is not None and not is_ours(watched, primary):
        if primary.id not in watched.baseline:
            return Verdict(
                outcome=Outcome.SUCCEEDED,
                reason="The deployment completed; a newer one has begun since.",
                stable=not failures_of(history),
            )
        lags = True
        if waited < LAG_SECONDS:
            return Waiting(note="AWS calls the deployment complete, and still shows the one before")
    if service.desired_count == 0:
        return _nothing_asked(watched)
    if snapshot.tasks is None and not snapshot.is_whole:
        return Waiting(note="AWS calls the deployment complete", closer=True)
    needed = _needed(service, history)
    running = len(_up(history))
    if not lags:
        running = primary.running_count if primary else service.running_count
    if primary is not None and not primary.desired_count and snapshot.tasks is not None:
        running = len(_up(history))  # its counts are not shown, the tasks are
    return (
        _too_few(history, running, needed, waited, lags=lags)
        or _unhealthy(watched, snapshot, history, needed=needed, waited=waited, facts=facts)
        or _other_image(watched, history, waited)
        or _settled(watched, service, history, needed=needed, now=now, waited=waited)
        or Verdict(
            outcome=Outcome.SUCCEEDED,
            reason=f"The deployment completed: {_seen(watched, snapshot, service, history, needed)}.",
            stable=_is_stable(watched, history, needed=needed, now=now),
        )
    )


def _nothing_asked(watched: Watched) -> Verdict:
    if watched.allow_desired_zero:
        return Verdict(
            outcome=Outcome.SUCCEEDED,
            reason="The revision is set, but with a desired count of 0 nothing ran or was verified.",
        )
    return Verdict(
        outcome=Outcome.FAILED,
        reason="The desired count is 0: no task runs, so nothing was verified.",
    )


def _needed(service: Service, history: History) -> int:
    """Return how many tasks must run: as many as were asked for when AWS called it finished.

    A desired count that grows in those seconds (autoscaling) is the next thing that ECS does, not this one.
    """
    asked = service.desired_count
    if history.desired_asked:
        asked = min(asked, history.desired_asked)
    if service.early_success_percent is not None:
        return math.ceil(asked * service.early_success_percent / 100)
    return asked


def _up(history: History) -> list[Task]:
    return [task for task in history.live if task.last_status == "RUNNING" and not is_leaving(task)]


def _too_few(
    history: History, running: int, needed: int, waited: float, *, lags: bool
) -> Verdict | Waiting | None:
    """Return what is to be said where fewer tasks run than are needed.

    For one that failed after all ran ECS starts another: that takes as long as a start does.
    """
    if running >= needed:
        return None
    replaced = _failed_since_success(history) or any(map(is_leaving, history.live))
    bound = SETTLE_BOUND if replaced else SETTLE_SECONDS
    if waited < bound:
        return Waiting(note=f"AWS calls the deployment complete, but {running} of {needed} tasks run")
    shown = " are shown" if lags else " run"
    return Verdict(
        outcome=Outcome.FAILED,
        reason=f"AWS calls the deployment complete, but only {running} of {needed} tasks{shown}.",
    )


def _unhealthy(
    watched: Watched,
    snapshot: Snapshot,
    history: History,
    *,
    needed: int,
    waited: float,
    facts: PhaseFacts | None,
) -> Verdict | Waiting | None:
    """Return what is to be said where checks fail right now; what is not shown fails nothing.

    Targets carry no task id: a group counts as ill where some of its targets are unhealthy and fewer than
    needed are healthy (with blue/green the group that has no task of ours any more has no unhealthy target).
    """
    up = _up(history)
    failing = [task for task in up if fails_checks(task, watched.checked_containers)]
    told = ""
    if failing and len(up) - len(failing) < needed:
        told = f"{count(len(failing), 'task')} of {len(up)} fail the container health check"
    for states in _by_group(snapshot.target_health or ()).values():
        ill = [target for target in states if target.state == "unhealthy"]
        well = sum(target.state == "healthy" for target in states)
        # The original tasks of CodeDeploy's are in a group of their own.
        alone = not history.others or snapshot.codedeploy is not None
        if ill and well < needed and alone:
            why = next((f": {t.description or t.reason}" for t in ill if t.description or t.reason), "")
            told = f"{len(ill)} of {count(len(ill) + well, 'target')} are unhealthy{why}"
    if not told:
        return None
    if waited < SETTLE_SECONDS + (facts.healthy_seconds if facts else 0.0):
        return Waiting(note=f"AWS calls the deployment complete, but {told}")
    return Verdict(outcome=Outcome.FAILED, reason=f"AWS calls the deployment complete, but {told}.")


_LEAVING = frozenset({"draining", "unused"})


def _by_group(targets: Sequence[TargetHealth]) -> dict[str, list[TargetHealth]]:
    groups: dict[str, list[TargetHealth]] = defaultdict(list)
    for target in targets:
        groups[target.target_group_arn].append(target)
    return groups


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherImage:
    """A container of ours that runs another digest than the one deployed; `image` is as the task names it."""

    container: str
    image: str
    runs: str
    wanted: str


def other_images(watched: Watched, tasks: Iterable[Task]) -> tuple[OtherImage, ...]:
    """Return the containers of *tasks* that are shown with another digest than the one deployed."""
    return tuple(
        OtherImage(
            container=container.name,
            image=container.image,
            runs=container.image_digest,
            wanted=watched.digests[container.name][0],
        )
        for task in tasks
        for container in task.containers
        if container.name in watched.digests
        and container.image_digest
        and container.image_digest not in watched.digests[container.name]
    )


def _other_image(watched: Watched, history: History, waited: float) -> Verdict | Waiting | None:
    wrong = other_images(watched, _up(history))
    if not wrong:
        return None
    if waited < SETTLE_SECONDS:
        return Waiting(note="AWS calls the deployment complete; the image digests differ still")
    moved = (
        ""
        if any("@" in container.image for task in _up(history) for container in task.containers)
        else " If its tag was moved meanwhile, set pin to digest."
    )
    told = f"{wrong[0].container} runs {wrong[0].runs}, not {wrong[0].wanted}"
    return Verdict(outcome=Outcome.FAILED, reason=f"Another image runs than the one deployed: {told}.{moved}")


def failures_of(history: History) -> tuple[Task, ...]:
    """Return the tasks of the new revision that failed, from the whole rollout."""
    return tuple(task for task in history.stopped if is_failure(task))


def _settled(
    watched: Watched, service: Service, history: History, *, needed: int, now: float, waited: float
) -> Verdict | Waiting | None:
    """Return Waiting while a rollout whose tasks failed has not been up for its settle time.

    A task that fails after AWS has called it finished begins that anew: then as many as are needed must have
    run that long. As many failures as the breaker allows while none of them does are a crash loop (page "How
    the Amazon ECS deployment circuit breaker detects failures": it evaluates no finished deployment).
    """
    failed = len(failures_of(history))
    settle = settle_seconds(watched, history, failed)
    since = len(_failed_since_success(history))
    lasting = _lasting(history, settle, now)
    if since and settle and lasting < needed and waited < SETTLE_BOUND:
        if not lasting and since >= threshold(service.circuit_breaker, service.desired_count):
            return Verdict(
                outcome=Outcome.FAILED,
                reason=f"AWS calls the deployment complete, but {count(since, 'task')} of it failed since, "
                f"and none has run for {settle:.0f} s.",
            )
        tasks = f"{count(since, 'task')} failed since"
        return Waiting(note=f"AWS calls the deployment complete; {tasks}, and {lasting} of {needed} last")
    if waited >= settle:
        return None
    before = f" after {count(failed, 'failed task')}" if failed else ""
    return Waiting(note=f"AWS calls the deployment complete{before}; it is watched for {settle:.0f} s")


SETTLE_BOUND = 300.0
"""How long tasks that fail after AWS has called the deployment finished may prolong the wait, in seconds."""


def _lasting(history: History, settle: float, now: float) -> int:
    """Return how many tasks of ours have run for the settle time."""
    return sum(up_seconds(history, task, now) >= settle for task in _up(history))


def _is_stable(watched: Watched, history: History, *, needed: int, now: float) -> bool:
    """Say whether a finished rollout is good enough to go back to: what failed of it, it has outlived.

    Where somebody switched the wait off, nobody has seen that.
    """
    failed = len(failures_of(history))
    settle = settle_seconds(watched, history, failed)
    if not failed:
        return True
    return settle > 0 and (not _failed_since_success(history) or _lasting(history, settle, now) >= needed)


def _failed_since_success(history: History) -> tuple[Task, ...]:
    """Return the tasks of ours that failed after AWS had called the deployment finished, by AWS's clock."""
    if history.success_since is None or history.offset is None:
        return ()
    since = history.success_since + history.offset
    return tuple(task for task in failures_of(history) if (task.stopped_at or 0.0) > since)


def _seen(watched: Watched, snapshot: Snapshot, service: Service, history: History, needed: int) -> str:
    """Return what stands behind the success: how many run, and their health only where it was seen."""
    up = _up(history)
    verb = "runs" if needed == 1 else "run"
    tasks = f"{count(needed, 'task')} {verb}"
    if service.early_success_percent is not None and needed < service.desired_count:
        tasks = (
            f"{needed} of {count(service.desired_count, 'task')} run, {service.early_success_percent} % "
            "are enough (early success criteria)"
        )
    if len(up) < needed:
        return f"{tasks} by AWS's count; the tasks themselves were not shown"
    by_check = bool(watched.checked_containers)
    by_target = bool(service.target_group_arns)
    targets = snapshot.target_health or ()
    passing = sum(passes_checks(task, watched.checked_containers) for task in up)
    there = [g for g in _by_group(targets).values() if any(t.state not in _LEAVING for t in g)]
    well = min((sum(t.state == "healthy" for t in g) for g in there), default=0)
    is_are = "is" if needed == 1 else "are"
    if not by_check and not by_target:
        health = "; no health check is configured"
    elif by_check and passing < needed:
        health = f"; {passing} of them {'passes' if passing == 1 else 'pass'} the container health check"
    elif by_target and well < needed:
        health = (
            f"; the load balancer's targets show {well} healthy"
            if targets
            else ("; the load balancer's view was not shown")
        )
    else:
        health = f" and {is_are} healthy"
    dark = [
        n for n in watched.digests if n not in {c.name for t in up for c in t.containers if c.image_digest}
    ]
    digest = f"; the image digest of {', '.join(dark)} was not shown" if dark else ""
    return f"{tasks}{health}{digest}"
