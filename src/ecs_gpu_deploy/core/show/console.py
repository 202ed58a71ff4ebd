"""The pages of the AWS console that show a rollout or a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from ecs_gpu_deploy.model import Service, cluster_of, short_id

_DOMAINS = {
    "cn": "console.amazonaws.cn",
    "us-gov": "console.amazonaws-us-gov.com",
    "eusc": "console.amazonaws-eusc.eu",
}
"""Where a Region's name begins so, its partition (aws-cn, aws-us-gov, aws-eusc) has a console of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPages:
    """The page of a task, and the log streams of its containers by name."""

    page: str
    logs: Mapping[str, str] = field(default_factory=dict)


def console_links(
    region: str, service: Service, containers: Sequence[Mapping[str, Any]] = ()
) -> dict[str, str]:
    """Return name → address of the console pages of *service*, in the domain of its partition.

    *containers* are raw container definitions; those that log with awslogs add the page of their log group.
    """
    links = {
        name: _service_page(region, short_id(service.cluster_arn), service.name, name.lower())
        for name in ("Deployments", "Tasks", "Events")
    }
    for container in containers:
        if place := _log_place(region, container):
            links[f"Logs {place[1]}"] = _log_page(*place)
    return links


def console_url(
    region: str, *, cluster: str, service: str = "", tasks: Sequence[str] = (), codedeploy_id: str = ""
) -> str:
    """Return the one page that shows what a command was about: a deployment, a task, or several.

    *service* is a name or an ARN, *tasks* are ARNs; "" where neither is known. A deployment stands on the
    page of its service's deployments.
    """
    cluster = short_id(cluster_of(service) or cluster or "default")
    if not region:
        return ""
    if codedeploy_id:
        return codedeploy_page(region, codedeploy_id)
    if len(tasks) == 1:
        return _task_page(region, cluster, tasks[0])
    if tasks:
        return _page(region, cluster, "tasks")
    return _service_page(region, cluster, short_id(service), "deployments") if service else ""


def task_pages(
    region: str, cluster: str, task_arn: str, containers: Sequence[Mapping[str, Any]]
) -> TaskPages:
    """Return the pages of a task: its own, and of each container that logs with awslogs its stream.

    The stream is `<prefix>/<container>/<task-id>` (docs/aws-facts.md#task-timeline).
    """
    logs = {}
    for container in containers:
        options = (container.get("logConfiguration") or {}).get("options") or {}
        place, prefix = _log_place(region, container), options.get("awslogs-stream-prefix")
        if place and prefix:
            name = str(container.get("name", ""))
            logs[name] = _log_page(*place, stream=f"{prefix}/{name}/{short_id(task_arn)}")
    return TaskPages(page=_task_page(region, short_id(cluster), task_arn), logs=logs)


def codedeploy_page(region: str, deployment_id: str) -> str:
    """Return the address of the console's page of a deployment of CodeDeploy's, in its partition."""
    return f"{_home(region)}/codesuite/codedeploy/deployments/{quote(deployment_id, safe='')}?region={region}"


def _home(region: str) -> str:
    domain = next((name for start, name in _DOMAINS.items() if region.startswith(f"{start}-")), "")
    return f"https://{region}.{domain or 'console.aws.amazon.com'}"


def _page(region: str, cluster: str, path: str) -> str:
    return f"{_home(region)}/ecs/v2/clusters/{quote(cluster, safe='')}/{path}?region={region}"


def _service_page(region: str, cluster: str, service: str, tab: str) -> str:
    return _page(region, cluster, f"services/{quote(service, safe='')}/{tab}")


def _task_page(region: str, cluster: str, task_arn: str) -> str:
    return _page(region, cluster, f"tasks/{quote(short_id(task_arn), safe='')}/configuration")


def _log_place(region: str, container: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return Region and name of the log group that a container writes to with awslogs."""
    logging = container.get("logConfiguration") or {}
    options = logging.get("options") or {}
    if logging.get("logDriver") != "awslogs" or not options.get("awslogs-group"):
        return None
    return str(options.get("awslogs-region") or region), str(options["awslogs-group"])


def _log_page(region: str, group: str, *, stream: str = "") -> str:
    """Return CloudWatch's page, which takes names encoded twice, with `$` for `%` (as its own links do)."""
    page = f"{_home(region)}/cloudwatch/home?region={quote(region, safe='')}#logsV2:log-groups/log-group"
    return f"{page}/{_twice(group)}" + (f"/log-events/{_twice(stream)}" if stream else "")


def _twice(name: str) -> str:
    return quote(quote(name, safe=""), safe="").replace("%", "$")
