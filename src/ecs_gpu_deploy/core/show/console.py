"""The pages of the AWS console that show a rollout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from ecs_gpu_deploy.model import Service, short_id

_DOMAINS = {"aws-cn": "console.amazonaws.cn", "aws-us-gov": "console.amazonaws-us-gov.com"}


def console_links(
    region: str, service: Service, containers: Sequence[Mapping[str, Any]] = ()
) -> dict[str, str]:
    """Return name → address of the console pages of *service*, in the domain of its partition.

    *containers* are raw container definitions; those that log with awslogs add the page of their log group.
    CloudWatch's page takes names encoded twice, with `$` for `%` (as its own links do).
    """
    partition = service.arn.split(":")[1] if service.arn.startswith("arn:") else "aws"
    console = f"https://{region}.{_DOMAINS.get(partition, 'console.aws.amazon.com')}"
    page = (
        f"{console}/ecs/v2/clusters/{quote(short_id(service.cluster_arn), safe='')}"
        f"/services/{quote(service.name, safe='')}"
    )
    links = {
        "Deployments": f"{page}/deployments?region={region}",
        "Tasks": f"{page}/tasks?region={region}",
        "Events": f"{page}/events?region={region}",
    }
    for group, place in _log_groups(region, containers).items():
        name = quote(quote(group, safe=""), safe="").replace("%", "$")
        home = f"{console}/cloudwatch/home?region={quote(place, safe='')}"
        links[f"Logs {group}"] = f"{home}#logsV2:log-groups/log-group/{name}"
    return links


def codedeploy_page(region: str, service: Service, deployment_id: str) -> str:
    """Return the address of the console's page of a deployment of CodeDeploy's, in its partition."""
    partition = service.arn.split(":")[1] if service.arn.startswith("arn:") else "aws"
    console = f"https://{region}.{_DOMAINS.get(partition, 'console.aws.amazon.com')}"
    return f"{console}/codesuite/codedeploy/deployments/{quote(deployment_id, safe='')}?region={region}"


def _log_groups(region: str, containers: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return log group → its Region."""
    groups = {}
    for container in containers:
        logging = container.get("logConfiguration") or {}
        options = logging.get("options") or {}
        if logging.get("logDriver") == "awslogs" and options.get("awslogs-group"):
            groups[str(options["awslogs-group"])] = str(options.get("awslogs-region") or region)
    return groups
