"""How a batch task and each of its containers ended, and why the task failed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

from ecs_gpu_deploy.core.judge.culprit import culprit_of, is_out_of_memory, side_containers, was_stopped
from ecs_gpu_deploy.model import Container, Task
from ecs_gpu_deploy.result import ContainerEnd, Judgement, TaskEnd

MISSING: Final = "MISSING"
"""The status that we give a task which AWS no longer knows: AWS's own reason in `failures[]`."""
_INTERRUPTED: Final = frozenset(
    {
        "SpotInterruption",
        "TerminationNotice",
        "InfrastructureHealth",
        "UserInitiated",
        "ServiceSchedulerInitiated",
    }
)


class Stage(StrEnum):
    """Where a batch task is (docs/aws-facts.md#task-timeline)."""

    PLACEMENT = "placement"
    PULL = "pull"
    START = "start"
    RUN = "run"
    ENDED = "ended"


def stage_of(task: Task) -> Stage:
    """Return where *task* is (docs/aws-facts.md#task-timeline)."""
    if task.last_status in {"STOPPED", "DELETED", MISSING}:
        return Stage.ENDED
    if task.started_at is not None or task.last_status == "RUNNING":
        return Stage.RUN
    if task.pull_stopped_at is not None:
        return Stage.START
    if task.pull_started_at is not None:
        return Stage.PULL
    return Stage.START if task.last_status == "ACTIVATING" else Stage.PLACEMENT


def task_end(task: Task, definition: Mapping[str, Any], *, named: str = "") -> TaskEnd:
    """Judge *task* and each of its containers by the raw task *definition*, which says what is essential.

    The container *named* for the batch, and one whose command or environment was overridden, counts like an
    essential one. A container that ECS stopped because another one had finished well did not fail. What an
    interruption or a person stopped did not finish, whatever its code. A task that AWS no longer knows is
    unknown: nobody can say how it ended.
    """
    if stage_of(task) != Stage.ENDED:
        return TaskEnd(task_arn=task.arn, judgement=Judgement.RUNNING, started_at=task.started_at)
    if task.last_status == MISSING:
        reason = f"AWS no longer knows it ({MISSING}), so nobody can say how it ended"
        return TaskEnd(
            task_arn=task.arn, judgement=Judgement.UNKNOWN, reason=reason, started_at=task.started_at
        )
    side = side_containers(definition, named={named, *task.overridden})
    interrupted = task.stop_code in _INTERRUPTED
    ends = tuple(
        ContainerEnd(
            name=container.name,
            exit_code=container.exit_code,
            judgement=_judgement(container, task.containers, side, interrupted=interrupted),
            reason=container.reason,
        )
        for container in task.containers
    )
    judged = [end.judgement for end in ends if end.name not in side]
    bad = {Judgement.FAILED, Judgement.UNKNOWN}
    well = Judgement.SUCCEEDED in judged and not bad & set(judged) and not interrupted
    return TaskEnd(
        task_arn=task.arn,
        judgement=Judgement.SUCCEEDED if well else Judgement.FAILED,
        reason="" if well else _why(task, ends, side),
        stopped_reason=task.stopped_reason,
        started_at=task.started_at,
        stopped_at=task.stopped_at,
        containers=ends,
    )


def exited_non_zero(ends: Sequence[TaskEnd]) -> bool:
    """Say whether a container failed by its own exit code, which is exit code 7 of ours."""
    return any(
        end.judgement is container.judgement is Judgement.FAILED and container.exit_code
        for end in ends
        for container in end.containers
    )


def _judgement(
    container: Container, containers: Sequence[Container], side: Collection[str], *, interrupted: bool
) -> Judgement:
    if is_out_of_memory(container):
        return Judgement.FAILED
    if interrupted:
        return Judgement.STOPPED
    if container.exit_code is None:
        return Judgement.UNKNOWN
    if container.exit_code == 0:
        return Judgement.SUCCEEDED
    return Judgement.STOPPED if was_stopped(container, containers, side) else Judgement.FAILED


def _why(task: Task, ends: Sequence[ContainerEnd], side: Collection[str]) -> str:
    culprit = culprit_of(task.containers, side)
    failed = next((end for end in ends if culprit is not None and end.name == culprit.name), None)
    if failed is not None and failed.judgement is Judgement.FAILED:
        reason = f" ({failed.reason.rstrip('.')})" if failed.reason else ""
        return f"container {failed.name} exited with {failed.exit_code}{reason}"
    first = next((end.reason for end in ends if end.reason and end.judgement is not Judgement.SUCCEEDED), "")
    return (first or task.stopped_reason or "it was stopped without a reason").rstrip(".")
