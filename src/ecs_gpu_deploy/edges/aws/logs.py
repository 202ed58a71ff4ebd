"""CloudWatch Logs: the last lines of exactly the task that failed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ecs_gpu_deploy.edges.aws.answers import AwsError, Denied, Passing, reading
from ecs_gpu_deploy.edges.aws.client import Aws
from ecs_gpu_deploy.model import LogTail

LINES = 30


def fetch_log_tail(aws: Aws, container: Mapping[str, Any], task_id: str, *, once: bool = False) -> LogTail:
    """Return the last lines that *container* (raw container definition) of the task wrote.

    The stream is `<prefix>/<container>/<task-id>` (docs/aws-facts.md#task-timeline). Never raises
    for AWS's refusals: `problem` says why there are no lines. *once*: what passes is not tried again.
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
    params = {
        "logGroupName": group,
        "logStreamName": f"{prefix}/{name}/{task_id}",
        "limit": LINES,
        "startFromHead": False,
    }
    region = options.get("awslogs-region") or None
    try:
        answer = (
            aws.once("logs", "get_log_events", params, region=region)
            if once
            else aws.call("logs", "get_log_events", params, region=region)
        )
        with reading("logs.GetLogEvents"):
            lines = tuple(str(event.get("message", "")) for event in answer.get("events") or ())
    except AwsError as error:
        may_come = error.code == "ResourceNotFoundException" or isinstance(error, Passing)
        return LogTail(task_id=task_id, container=name, problem=_problem(error, group), may_come=may_come)
    return LogTail(
        task_id=task_id,
        container=name,
        lines=lines,
        problem="" if lines else "the container wrote no line",
        may_come=True,
    )


def _problem(error: AwsError, group: str) -> str:
    if error.code == "ResourceNotFoundException":
        # CloudWatch Logs has one code for both; its text names what is missing.
        if "log group" in error.text.lower():
            return f"the log group {group} does not exist"
        return "the container wrote no line"
    if isinstance(error, Denied):
        return f"the permission logs:GetLogEvents on {group} is missing"
    return f"CloudWatch Logs did not answer: {error.text}"


_STREAMS = 100
"""Streams that FilterLogEvents takes by name (API Reference, "FilterLogEvents")."""
_OVERLAP = 30.0
"""Lines may be ingested late, so the last half minute is asked for again and known lines are left out."""
_KEPT_IDS = 20_000
_LAST_PAGES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """A line that a container wrote; `at` is in epoch seconds."""

    task_id: str
    container: str
    text: str
    at: float


@dataclass(slots=True)
class _Group:
    """One log group with the streams of a prefix, and how far it was read."""

    name: str
    prefix: str
    region: str
    containers: list[str]
    since: float
    page: dict[str, Any] | None = None
    seen: dict[str, None] = field(default_factory=dict)
    closed: str = ""


class LogFollower:
    """Read the new lines of tasks, in the order in which they were written."""

    def __init__(self, aws: Aws, containers: Sequence[Mapping[str, Any]], *, since: float) -> None:
        """Take raw container definitions; those without awslogs and a stream prefix have no lines."""
        self._aws = aws
        self._groups: dict[tuple[str, str, str], _Group] = {}
        for container in containers:
            configuration = container.get("logConfiguration") or {}
            options = configuration.get("options") or {}
            prefix = options.get("awslogs-stream-prefix")
            if configuration.get("logDriver") != "awslogs" or not prefix:
                continue
            key = (options.get("awslogs-group", ""), prefix, options.get("awslogs-region", ""))
            group = self._groups.setdefault(
                key, _Group(key[0], prefix, key[2], containers=[], since=since - _OVERLAP)
            )
            group.containers.append(str(container.get("name", "")))

    @property
    def problems(self) -> tuple[str, ...]:
        """Return why lines of a log group cannot be seen."""
        return tuple(group.closed for group in self._groups.values() if group.closed)

    def follow(self, task_ids: Iterable[str], *, to_the_end: bool = False) -> tuple[LogLine, ...]:
        """Return the lines that are new since the last look; one call a log group, or all *to_the_end*."""
        ids = list(task_ids)
        lines: list[LogLine] = []
        for group in self._groups.values():
            if group.closed or not ids:
                continue
            for page, found in enumerate(self._pages(group, ids)):
                lines += found
                if group.page is None or not to_the_end or page >= _LAST_PAGES:
                    break
        return tuple(sorted(lines, key=lambda line: line.at))

    def _pages(self, group: _Group, ids: Sequence[str]) -> Iterator[list[LogLine]]:
        streams = {f"{group.prefix}/{name}/{task}": (task, name) for task in ids for name in group.containers}
        while True:
            params = group.page or {
                "logGroupName": group.name,
                "startTime": int(max(group.since, 0) * 1000),
                **(
                    {"logStreamNames": list(streams)}
                    if len(streams) <= _STREAMS
                    else {"logStreamNamePrefix": f"{group.prefix}/"}
                ),
            }
            answer = self._answer(group, params)
            if answer is None:
                yield []
                return
            token = answer.get("nextToken")
            group.page = {**params, "nextToken": token} if token else None
            yield list(self._new(group, answer.get("events") or (), streams))

    def _answer(self, group: _Group, params: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Ask once; a stream that is not there yet, or a moment of silence, is no lines."""
        region = group.region or None
        try:
            return self._aws.once("logs", "filter_log_events", params, region=region)
        except AwsError as error:
            group.page = None
            if error.code == "ResourceNotFoundException" and "logStreamNames" in params:
                wider = {k: v for k, v in params.items() if k not in {"logStreamNames", "nextToken"}}
                return self._answer(group, {**wider, "logStreamNamePrefix": f"{group.prefix}/"})
            if isinstance(error, Denied):
                group.closed = f"the permission logs:FilterLogEvents on {group.name} is missing"
            return None

    def _new(
        self,
        group: _Group,
        events: Iterable[Mapping[str, Any]],
        streams: Mapping[str, tuple[str, str]],
    ) -> Iterator[LogLine]:
        for event in events:
            owner = streams.get(str(event.get("logStreamName", "")))
            key = str(event.get("eventId", ""))
            if owner is None or key in group.seen:
                continue
            group.seen[key] = None
            at = float(event.get("timestamp") or 0) / 1000
            group.since = max(group.since, at - _OVERLAP)
            yield LogLine(task_id=owner[0], container=owner[1], text=str(event.get("message", "")), at=at)
        while len(group.seen) > _KEPT_IDS:
            del group.seen[next(iter(group.seen))]
