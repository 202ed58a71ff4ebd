"""Batch tasks: what RunTask is to be sent, what its refusals mean, and how tasks and containers ended.

Everything is a function of what was seen and of the time passed in.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Self

from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.core.text import count
from ecs_gpu_deploy.model import Container, Task
from ecs_gpu_deploy.result import ContainerEnd, Outcome, TaskEnd

A_CALL: Final = 10
"""Tasks that one RunTask starts at most (RunTask, "count")."""
MOST: Final = 1000
FAILED_TASK_EXIT: Final = 7
"""Our exit code where a container exited non-zero."""

_CAPACITY = (
    "RESOURCE:",
    "AGENT",
    "CAPACITY IS UNAVAILABLE",
    "CAPACITY LIMIT",
    "EMPTY CAPACITY PROVIDER",
    "NO ACTIVE INSTANCES",
    "NO CONTAINER INSTANCES WERE FOUND",
    "YOU'VE REACHED THE LIMIT",
    "INSUFFICIENT",
)
_INTERRUPTED = frozenset(
    {
        "SpotInterruption",
        "TerminationNotice",
        "InfrastructureHealth",
        "UserInitiated",
        "ServiceSchedulerInitiated",
    }
)
_SIGNALLED = frozenset({137, 143})
_FIRST_WAIT, _LONGEST_WAIT = 5.0, 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One of RunTask's `failures[]`: they come with HTTP 200 (docs/aws-facts.md#runtask-failures)."""

    reason: str
    detail: str = ""
    arn: str = ""

    @classmethod
    def from_api(cls, api: Mapping[str, Any]) -> Self:
        """Read Failure."""
        return cls(reason=api.get("reason") or "", detail=api.get("detail") or "", arn=api.get("arn") or "")

    @property
    def told(self) -> str:
        """Return reason and detail as one text."""
        return f"{self.reason}: {self.detail}" if self.detail else self.reason


def is_lack(reason: str) -> bool:
    """Say whether *reason* is a lack of capacity, so that waiting may help.

    Source: docs/aws-facts.md#runtask-failures.
    """
    upper = reason.upper()
    return any(part in upper for part in _CAPACITY)


def lacks(refusals: Iterable[Refusal]) -> bool:
    """Say whether one of the refusals is a lack of capacity: others are about single instances."""
    return any(is_lack(refusal.told) for refusal in refusals)


def retry_wait(tries: int) -> float:
    """Return the seconds before the next try after *tries* refusals: 5, 10, 20, 40, then 60."""
    return float(min(_FIRST_WAIT * 2 ** min(max(tries - 1, 0), 10), _LONGEST_WAIT))


def batch_mark(named: Sequence[str], request: Mapping[str, Any]) -> str:
    """Return what makes a batch one of its kind: a hash of the run's names and of what is to run.

    The same names and request give the same mark, so that RunTask's client tokens made of it start nothing
    twice (API Reference, "Ensuring idempotency").
    """
    text = json.dumps([list(named), request], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def client_token(mark: str, round_number: int, call: int) -> str:
    """Return the client token of one call: at most 64 characters. A retry for want of room is a new round."""
    return f"{mark}-{round_number}-{call}"


class Stage(StrEnum):
    """Where a batch task is (docs/aws-facts.md#task-timeline)."""

    PLACEMENT = "placement"
    PULL = "pull"
    START = "start"
    RUN = "run"
    ENDED = "ended"


def stage_of(task: Task) -> Stage:
    """Return where *task* is."""
    if task.last_status in {"STOPPED", "DELETED"}:
        return Stage.ENDED
    if task.started_at is not None or task.last_status == "RUNNING":
        return Stage.RUN
    if task.pull_stopped_at is not None:
        return Stage.START
    if task.pull_started_at is not None:
        return Stage.PULL
    return Stage.START if task.last_status == "ACTIVATING" else Stage.PLACEMENT


def never_placed(task: Task) -> bool:
    """Say whether *task* ended because no room was found for it, so that it may be started again.

    Source: docs/aws-facts.md#provisioning.
    """
    return (
        task.last_status == "STOPPED"
        and task.stop_code == "TaskFailedToStart"
        and task.pull_started_at is None
        and is_lack(task.stopped_reason)
    )


def task_end(task: Task, definition: Mapping[str, Any]) -> TaskEnd:
    """Judge *task* and each of its containers by the raw task *definition*, which says what is essential.

    A container that ECS stopped because another essential one had finished well did not fail: it has 143 or
    137 and no reason of its own. What an interruption or a person stopped did not finish, whatever its code.
    """
    essential = {c["name"]: c.get("essential", True) for c in definition.get("containerDefinitions") or ()}
    if stage_of(task) != Stage.ENDED:
        return TaskEnd(task_arn=task.arn, judgement="running", started_at=task.started_at)
    interrupted = task.stop_code in _INTERRUPTED
    done = any(c.exit_code == 0 and essential.get(c.name, True) for c in task.containers)
    ends = tuple(
        ContainerEnd(
            name=container.name,
            exit_code=container.exit_code,
            judgement=_judgement(container, interrupted=interrupted, done=done),
            reason=container.reason,
        )
        for container in task.containers
    )
    judged = [end.judgement for end in ends if essential.get(end.name, True)]
    well = bool(judged) and "succeeded" in judged and not {"failed", "unknown"} & set(judged)
    return TaskEnd(
        task_arn=task.arn,
        judgement="succeeded" if well and not interrupted else "failed",
        stopped_reason=task.stopped_reason,
        started_at=task.started_at,
        stopped_at=task.stopped_at,
        containers=ends,
    )


def _judgement(container: Container, *, interrupted: bool, done: bool) -> str:
    if container.exit_code is None:
        return "stopped" if interrupted else "unknown"
    if container.exit_code == 0:
        return "stopped" if interrupted else "succeeded"
    if interrupted or (done and container.exit_code in _SIGNALLED and not container.reason):
        return "stopped"
    return "failed"


def exited_non_zero(ends: Sequence[TaskEnd]) -> bool:
    """Say whether a container failed by its own exit code, which is exit code 7 of ours."""
    return any(
        end.judgement == "failed" and container.judgement == "failed" and container.exit_code
        for end in ends
        for container in end.containers
    )


def verdict_of(ends: Sequence[TaskEnd]) -> Verdict:
    """Return the verdict over a batch that has ended."""
    failed = [end for end in ends if end.judgement != "succeeded"]
    if not failed:
        those = "The task" if len(ends) == 1 else f"All {len(ends)} tasks"
        return Verdict(outcome=Outcome.SUCCEEDED, reason=f"{those} ended well (exit code 0).")
    whys = Counter(_why(end) for end in failed)
    shown = "; ".join(f"{why}" if n == 1 else f"{why} ({n} tasks)" for why, n in whys.most_common(3))
    what = "The task failed" if len(ends) == 1 else f"{len(failed)} of {len(ends)} tasks failed"
    return Verdict(outcome=Outcome.FAILED, reason=f"{what}: {shown}.")


def _why(end: TaskEnd) -> str:
    for container in end.containers:
        if container.judgement == "failed":
            reason = f" ({container.reason.rstrip('.')})" if container.reason else ""
            return f"container {container.name} exited with {container.exit_code}{reason}"
    first = next((c.reason for c in end.containers if c.reason), "")
    return (first or end.stopped_reason or "it was stopped without a reason").rstrip(".")


def progress_text(tasks: Sequence[Task], wanted: int) -> str:
    """Return how far a batch is, in one line: `placement 3 · run 12 · ended 5 of 20`."""
    stages = Counter(stage_of(task) for task in tasks)
    missing = wanted - len(tasks)
    parts = [f"{count(missing, 'task')} not started"] if missing > 0 else []
    parts += [f"{stage} {stages[stage]}" for stage in list(Stage)[:-1] if stages[stage]]
    parts.append(f"ended {stages[Stage.ENDED]} of {wanted}")
    return " · ".join(parts)
