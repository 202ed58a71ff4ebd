"""CloudWatch Logs: the last lines of exactly the task that failed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import botocore.exceptions

from ecs_gpu_deploy.edges.aws.client import Aws, error_code, error_text, is_denied
from ecs_gpu_deploy.model import LogTail

LINES = 30


def fetch_log_tail(aws: Aws, container: Mapping[str, Any], task_id: str) -> LogTail:
    """Return the last lines that *container* (raw container definition) of the task wrote.

    The stream is `<prefix>/<container>/<task-id>` (aws-facts A9). Never raises for AWS's refusals:
    `problem` says why there are no lines.
    """
    name = str(container.get("name", ""))
    configuration = container.get("logConfiguration") or {}
    driver = configuration.get("logDriver")
    options = configuration.get("options") or {}
    if driver != "awslogs":
        what = (
            f"the log driver {driver} does not write" if driver else "without a log driver nothing is written"
        )
        return LogTail(task_id=task_id, container=name, problem=f"{what} to CloudWatch Logs")
    group, prefix = options.get("awslogs-group", ""), options.get("awslogs-stream-prefix")
    if not prefix:
        return LogTail(
            task_id=task_id,
            container=name,
            problem="without awslogs-stream-prefix the log stream of a task cannot be named",
        )
    try:
        answer = aws.call(
            "logs",
            "get_log_events",
            {
                "logGroupName": group,
                "logStreamName": f"{prefix}/{name}/{task_id}",
                "limit": LINES,
                "startFromHead": False,
            },
            region=options.get("awslogs-region") or None,
        )
    except (botocore.exceptions.ClientError, botocore.exceptions.HTTPClientError) as error:
        return LogTail(task_id=task_id, container=name, problem=_problem(error, group))
    lines = tuple(str(event.get("message", "")) for event in answer.get("events") or ())
    return LogTail(
        task_id=task_id, container=name, lines=lines, problem="" if lines else "the container wrote no line"
    )


def _problem(error: Exception, group: str) -> str:
    if error_code(error) == "ResourceNotFoundException":
        return f"the container wrote no line, or the log group {group} does not exist"
    if is_denied(error):
        return f"the permission logs:GetLogEvents on {group} is missing"
    return f"CloudWatch Logs did not answer: {error_text(error)}"
