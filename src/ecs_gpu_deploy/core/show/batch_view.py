"""What the log says of a batch task that has ended."""

from __future__ import annotations

from ecs_gpu_deploy.core.text import span
from ecs_gpu_deploy.model import short_id
from ecs_gpu_deploy.result import Judgement, TaskEnd


def end_line(end: TaskEnd) -> str:
    """Return how a task ended, in one line: `task 9e454b25 succeeded after 1m (ingest exit 0)`."""
    without = "without an exit code" if end.started_at else "never ran"
    codes = ", ".join(
        f"{c.name} exit {c.exit_code}" if c.exit_code is not None else f"{c.name} {without}"
        for c in end.containers
    )
    ran = end.stopped_at - end.started_at if end.stopped_at and end.started_at else None
    took = f" after {span(ran)}" if ran is not None else ""
    why = (end.stopped_reason or end.reason) if end.judgement is not Judgement.SUCCEEDED else ""
    listed = f" ({codes})" if codes else ""
    return f"task {short_id(end.task_arn)[:8]} {end.judgement}{took}{listed}" + (f": {why}" if why else "")
