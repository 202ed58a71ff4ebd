"""How failed tasks are told: one line for all that failed alike, not one for each."""

from __future__ import annotations

from collections.abc import Sequence

from ecs_gpu_deploy.core.judge.evidence import lifetime
from ecs_gpu_deploy.core.text import log_line, short_arns, span
from ecs_gpu_deploy.model import Task

_NAMED = 4


def failure_lines(tasks: Sequence[Task]) -> tuple[str, ...]:
    """Return a line for each group of stopped *tasks* with the same reason and the same exit codes.

    `tasks 21479dca, 2243bac3 failed after 41s: Essential container in task exited — rag exit 1`. The seconds
    are those for which the containers ran.
    """
    groups: dict[str, list[Task]] = {}
    for task in tasks:
        groups.setdefault(_reason(task), []).append(task)
    return tuple(f"{_who(alike)} failed{_after(alike)}: {reason}" for reason, alike in groups.items())


def _reason(task: Task) -> str:
    exits = ", ".join(
        f"{container.name}{'' if container.exit_code is None else f' exit {container.exit_code}'}"
        + (f" ({container.reason})" if container.reason else "")
        for container in task.containers
        if container.exit_code is not None or container.reason
    )
    return log_line(short_arns(task.stopped_reason + (f" — {exits}" if exits else "")), limit=600)


def _who(tasks: Sequence[Task]) -> str:
    ids = [task.id[:8] for task in tasks]
    more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
    return f"{'task' if len(ids) == 1 else 'tasks'} {', '.join(ids[:_NAMED])}{more}"


def _after(tasks: Sequence[Task]) -> str:
    ran = [lifetime(task) for task in tasks if task.started_at]
    if not ran:
        return ""
    shortest, longest = span(min(ran)), span(max(ran))
    return f" after {shortest}" if shortest == longest else f" after {shortest} to {longest}"
