"""Whether what a service runs now fails by itself: then its past says little of what a rollout will do.

Source: docs/aws-facts.md#exit-after-running; Developer Guide, "Amazon ECS service event messages" (unable to
consistently start tasks successfully).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ecs_gpu_deploy.core.text import count, plain
from ecs_gpu_deploy.model import Service, Task, short_id

_FAILED: Final = frozenset({"EssentialContainerExited", "TaskFailedToStart"})
_UNHEALTHY: Final = "health checks"
_CANNOT: Final = "is unable to consistently start tasks successfully"
_STEADY: Final = "has reached a steady state"
_RECENT_SECONDS: Final = 3600.0
_LEAST: Final = 2
"""One task that ended may be an accident, and ECS has replaced it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failing:
    """A revision that fails as it runs now, in a sentence."""

    message: str


def failing_of(service: Service, tasks: Sequence[Task], *, now: float) -> Failing | None:
    """Return that the revision which *service* runs fails; None where it runs as many tasks as it should.

    *tasks* are those that run and that lately stopped, *now* is in epoch seconds. Source:
    docs/aws-facts.md#exit-after-running.
    """
    if service.running_count >= service.desired_count or service.scheduling_strategy == "DAEMON":
        return None
    ended = [
        task
        for task in tasks
        if task.task_definition_arn == service.task_definition
        and now - (task.stopped_at or 0.0) < _RECENT_SECONDS
        and (task.stop_code in _FAILED or _UNHEALTHY in task.stopped_reason)
    ]
    told = next((e.message for e in service.events if _CANNOT in e.message or _STEADY in e.message), "")
    if len(ended) < _LEAST and _CANNOT not in told:
        return None
    running = f"{service.running_count} run of {service.desired_count} wanted"
    revision = short_id(service.task_definition)
    if not ended:
        return Failing(message=f"{revision} fails as it is: AWS cannot start its tasks, and {running}")
    last = max(ended, key=lambda task: task.stopped_at or 0.0)
    reason = plain(last.stopped_reason, limit=160).rstrip(". ")
    return Failing(
        message=f"{revision} fails as it is: {count(len(ended), 'task')} of it ended within the hour "
        f"({reason or last.stop_code}), and {running}"
    )
