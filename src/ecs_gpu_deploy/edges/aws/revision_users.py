"""Who uses the revisions of a family: services of all clusters, and tasks on a schedule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ecs_gpu_deploy.edges.aws.client import Aws

_DESCRIBED = 10
_MOST_SCHEDULES = 500


class TooMany(Exception):
    """There is more than we would look at."""


def fetch_users(aws: Aws) -> frozenset[str]:
    """Return the task definitions (ARN, family:N or family) in use; botocore's errors come through.

    EventBridge rules reach ECS through the cluster (their target's ARN), EventBridge Scheduler too.
    """
    clusters = list(_pages(aws, "ecs", "list_clusters", {}, "clusterArns"))
    used: set[str] = set()
    for cluster in clusters:
        used |= set(_of_services(aws, cluster))
        used |= set(_of_rules(aws, cluster))
    used |= set(_of_schedules(aws))
    return frozenset(used)


def _of_services(aws: Aws, cluster: str) -> Iterator[str]:
    arns = list(_pages(aws, "ecs", "list_services", {"cluster": cluster, "maxResults": 100}, "serviceArns"))
    for at in range(0, len(arns), _DESCRIBED):
        params = {"cluster": cluster, "services": arns[at : at + _DESCRIBED]}
        for service in aws.call("ecs", "describe_services", params).get("services") or ():
            yield str(service.get("taskDefinition", ""))
            yield from (str(each.get("taskDefinition", "")) for each in service.get("deployments") or ())


def _of_rules(aws: Aws, cluster: str) -> Iterator[str]:
    names = _pages(
        aws, "events", "list_rule_names_by_target", {"TargetArn": cluster}, "RuleNames", following="NextToken"
    )
    for name in names:
        targets = _pages(
            aws, "events", "list_targets_by_rule", {"Rule": name}, "Targets", following="NextToken"
        )
        for target in targets:
            yield str((target.get("EcsParameters") or {}).get("TaskDefinitionArn", ""))


def _of_schedules(aws: Aws) -> Iterator[str]:
    schedules = _pages(aws, "scheduler", "list_schedules", {}, "Schedules", following="NextToken")
    for number, schedule in enumerate(schedules):
        if number >= _MOST_SCHEDULES:
            raise TooMany
        if ":cluster/" not in str((schedule.get("Target") or {}).get("Arn", "")):
            continue
        params = {"Name": schedule["Name"], "GroupName": schedule.get("GroupName", "default")}
        target = aws.call("scheduler", "get_schedule", params).get("Target") or {}
        yield str((target.get("EcsParameters") or {}).get("TaskDefinitionArn", ""))


def _pages(
    aws: Aws, api: str, method: str, params: Mapping[str, Any], member: str, *, following: str = "nextToken"
) -> Iterator[Any]:
    wanted = dict(params)
    while True:
        answer = aws.call(api, method, wanted)
        yield from answer.get(member) or ()
        if not answer.get(following):
            return
        wanted[following] = answer[following]
