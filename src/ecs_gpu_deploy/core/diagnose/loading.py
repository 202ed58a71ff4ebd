"""Tell a task that was killed while it was still loading its model from one that failed its health check.

Both live as long as the check allows. What tells them apart is the log: no error, no sign of a server
that already answers, and the health check's own answers (503 or silence while loading; 404 is a wrong path).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ecs_gpu_deploy.core.judge.timing import HealthTiming, grace_needed, start_period_needed
from ecs_gpu_deploy.model import Task

_LOADS = re.compile(
    r"load(ing|s)? .{0,60}(checkpoint|model|weights?|shards?|safetensors|pipeline|tokenizer|embedding|index)"
    r"|(loading|downloading|fetching).{0,80}\d{1,3}\s?%|warming up|capturing cuda graph|torch\.compile",
    re.IGNORECASE,
)
_READY = re.compile(
    r"application startup complete|uvicorn running on|ready to serve|startup finished|serving (on|at) "
    r"|server (is )?(ready|up|started|listening)|model(s)? (is |are )?(loaded|ready)\b",
    re.IGNORECASE,
)
_ACCESS = re.compile(r"\"?(?:GET|HEAD) /\S{0,200}(?: HTTP/\d(?:\.\d)?)?\"?\s{1,4}\(?(\d{3})\b")
_PERCENT = re.compile(r"(?<![\d.])(\d{1,2})(?:\.\d{1,2})?\s?%")
_LOADED_IN = re.compile(
    r"(?:model|models|weights|pipeline|loaded|loading)\b.{0,80}?\b(?:in|took|after)\s{1,3}"
    r"(\d{1,5}(?:\.\d{1,6})?)\s?(?:s|sec|secs|seconds)\b",
    re.IGNORECASE,
)
_WHILE_LOADING = frozenset({502, 503, 504})
_REACTION = 90.0
"""Seconds ECS may take from the last failed check to the stop: evaluation, SIGTERM, the event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """A task stopped by a health check, with its log and the log lines of other tasks of the service."""

    task: Task
    by_load_balancer: bool
    lines: Sequence[str]
    earlier: Sequence[str] = ()
    status_codes: frozenset[int] = frozenset()


def still_loads(lines: Sequence[str]) -> bool:
    """Say whether *lines* end in loading: they tell of it, and of no server that answers."""
    codes = _answers(lines)
    if codes - _WHILE_LOADING or (any(_READY.search(line) for line in lines) and not codes):
        return False
    return any(_LOADS.search(line) for line in lines)


def loading_message(kill: Kill, timing: HealthTiming) -> str:
    """Return the arithmetic when *kill* came while the task was still loading, else "".

    Conditions: the task never was healthy, its lifetime is about what the check allows, nothing says that
    the server already answered, and a known load time is longer than the allowance
    (docs/aws-facts.md#load-time).
    """
    lifetime = _lifetime(kill.task)
    allowed = timing.elb_allowed if kill.by_load_balancer else timing.container_allowed
    if lifetime is None or allowed is None or kill.task.health_status == "HEALTHY":
        return ""
    answers = _answers(kill.lines) | (kill.status_codes if kill.by_load_balancer else frozenset())
    if answers - _WHILE_LOADING or (any(_READY.search(line) for line in kill.lines) and not answers):
        return ""
    needed, said = _load_seconds(kill, timing, lifetime)
    if not _about(kill, timing, lifetime, allowed) or (needed is not None and needed <= allowed):
        return ""
    if needed is None and not kill.lines:
        return ""
    return _arithmetic(kill, allowed, lifetime, needed, said)


def _arithmetic(kill: Kill, allowed: float, lifetime: float, needed: float | None, said: str) -> str:
    grace = grace_needed(lifetime if needed is None else needed)
    load = (
        f"load needed more than {lifetime:.0f} s" if needed is None else f"load needed ~{needed:.0f} s{said}"
    )
    more = " (measure the load: 1.5 times it is the value)" if needed is None else ""
    if kill.by_load_balancer:
        return f"{load}, ELB allowed {allowed:.0f} s: set health_check_grace_period_seconds ≥ {grace}{more}"
    start = start_period_needed(lifetime if needed is None else needed)
    return (
        f"{load}, the container health check allowed {allowed:.0f} s: set startPeriod {start} and "
        f"health_check_grace_period_seconds ≥ {grace}{more}"
    )


def _lifetime(task: Task) -> float | None:
    end = task.stopping_at or task.stopped_at
    return None if end is None or task.started_at is None else end - task.started_at


def _about(kill: Kill, timing: HealthTiming, lifetime: float, allowed: float) -> bool:
    """Say whether *lifetime* is what a never healthy task gets: the allowance, plus the time to react."""
    if kill.by_load_balancer and timing.load_balancer:
        check = timing.load_balancer
        return (
            allowed - check.interval <= lifetime <= allowed + 2 * check.interval + check.timeout + _REACTION
        )
    if timing.container:
        own = timing.container
        longest = max(timing.grace, own.start_period + own.retries * (own.interval + own.timeout))
        return allowed - own.interval <= lifetime <= longest + own.interval + _REACTION
    return False


def _load_seconds(kill: Kill, timing: HealthTiming, lifetime: float) -> tuple[float | None, str]:
    """Return how long a load takes and how we know: measured, told by another task's log, or extrapolated."""
    if timing.load_seconds is not None:
        return timing.load_seconds, ""
    told = [float(match[1]) for line in kill.earlier if (match := _LOADED_IN.search(line))]
    if told:
        return max(told), " (another task's log)"
    for line in reversed(kill.lines[-5:]):
        percents = [int(percent) for percent in _PERCENT.findall(line)]
        if percents and percents[-1] >= 5:
            return lifetime * 100 / percents[-1], f" (its log stood at {percents[-1]} %)"
    return None, ""


def _answers(lines: Sequence[str]) -> frozenset[int]:
    return frozenset(int(match[1]) for line in lines if (match := _ACCESS.search(line)))
