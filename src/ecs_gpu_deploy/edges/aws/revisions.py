"""What AWS keeps of a service's past: its deployments, the revisions of its family, their tags.

Where an operation is closed to us (denied, or unknown to the endpoint) the answer is None: the caller then
goes on with what else there is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from ecs_gpu_deploy.core.definition.provenance import PREFIX, told_by
from ecs_gpu_deploy.core.definition.task_definition import images
from ecs_gpu_deploy.core.past.revisions import (
    Revision,
    Rollout,
    ServiceRevision,
    revision_from_api,
    rollouts_of,
)
from ecs_gpu_deploy.edges.aws.answers import AwsError, Closed, HalfAnswer, Rejected, needed_to, reading
from ecs_gpu_deploy.edges.aws.client import Aws
from ecs_gpu_deploy.edges.aws.ecs import Ecs, RawTaskDefinition
from ecs_gpu_deploy.errors import DeployError, InvalidInput
from ecs_gpu_deploy.model import ServiceDeployment, short_id

T = TypeVar("T")

_PAGE = 100
TAG_SECONDS = 10.0
"""A rollout waits no longer than this for a label."""
_REVISIONS_A_CALL = 20


def fetch_rollouts(aws: Aws, cluster: str, service: str, *, most: int) -> tuple[Rollout, ...] | None:
    """Return the newest *most* deployments of the service with what they deployed, newest first.

    AWS keeps them for 90 days (Developer Guide, "View service history"). One call a hundred deployments,
    and one every twenty.
    """
    params: dict[str, Any] = {"cluster": cluster, "service": service, "maxResults": min(most, _PAGE)}
    with needed_to("list the service deployments"):
        try:
            listed = aws.pages("ecs", "list_service_deployments", params, "serviceDeployments")
            with reading("ecs.ListServiceDeployments"):
                briefs = [ServiceDeployment.from_api(item) for item in islice(listed, most)]
            arns = dict.fromkeys(brief.target_revision_arn for brief in briefs if brief.target_revision_arn)
            revisions = {revision.arn: revision for revision in fetch_service_revisions(aws, arns)}
        except Closed:
            return None
    return rollouts_of(briefs, revisions)


def fetch_service_revisions(aws: Aws, arns: Iterable[str]) -> Iterator[ServiceRevision]:
    """Yield the service revisions, twenty a call; raises AwsError."""
    for batch in _batches(arns, _REVISIONS_A_CALL):
        params = {"serviceRevisionArns": batch}
        yield from aws.read("ecs", "describe_service_revisions", params, _service_revisions)


def _service_revisions(answer: Mapping[str, Any]) -> list[ServiceRevision]:
    found = [ServiceRevision.from_api(item) for item in answer.get("serviceRevisions") or ()]
    if not all(revision.arn and revision.task_definition for revision in found):
        raise HalfAnswer("a revision is not shown whole", request="ecs.DescribeServiceRevisions")
    return found


def fetch_family(aws: Aws, family: str, *, most: int, once: bool = False) -> tuple[str, ...] | None:
    """Return the ARNs of the newest *most* active revisions of exactly this family, newest first."""
    params = {"familyPrefix": family, "status": "ACTIVE", "sort": "DESC", "maxResults": min(most, _PAGE)}
    with needed_to(f"list the revisions of {family!r}"), reading("ecs.ListTaskDefinitions"):
        try:
            arns = aws.pages("ecs", "list_task_definitions", params, "taskDefinitionArns", once=once)
            exact = (arn for arn in arns if arn.rpartition("/")[2].rpartition(":")[0] == family)
            return tuple(islice(exact, most))
        except Closed:
            return None


def revision_of(definition: RawTaskDefinition) -> Revision:
    """Return what a task definition and its tags tell about where it came from."""
    return revision_from_api(definition.body, images=images(definition.body), about=told_by(definition.tags))


def fetch_revisions(ecs: Ecs, arns: Iterable[str]) -> tuple[Revision, ...]:
    """Return the revisions with their tags, one call each; those that are deleted are left out."""
    found = []
    for arn in arns:
        try:
            found.append(revision_of(ecs.fetch_task_definition(arn)))
        except InvalidInput:
            continue
    return tuple(found)


def fetch_tags(aws: Aws, *, most: int = 500) -> Mapping[str, Mapping[str, str]] | None:
    """Return ARN → what its provenance tags tell, of the first *most* tagged revisions of the Region.

    A hundred revisions a call, where DescribeTaskDefinition tells one (Resource Groups Tagging API).
    """
    params: dict[str, Any] = {
        "ResourceTypeFilters": ["ecs:task-definition"],
        "TagFilters": [{"Key": f"{PREFIX}version"}],
        "ResourcesPerPage": _PAGE,
    }
    api, member, following = "resourcegroupstaggingapi", "ResourceTagMappingList", "PaginationToken"
    found: dict[str, Mapping[str, str]] = {}
    with needed_to("list the tags of the revisions"), reading(f"{api}.GetResources"):
        try:
            for item in islice(aws.pages(api, "get_resources", params, member, following=following), most):
                tags = [{"key": tag["Key"], "value": tag.get("Value", "")} for tag in item.get("Tags") or ()]
                found[item["ResourceARN"]] = told_by(tags)
        except Closed:
            return None
    return found


def tag_revision(aws: Aws, arn: str, about: Mapping[str, str]) -> bool:
    """Add tags (short key → value) to a revision; False where AWS does not let us within seconds.

    Of more than a resource takes (50) the last are left out, one after the other.
    """
    tags = [{"key": f"{PREFIX}{name}", "value": value} for name, value in about.items() if value]
    with aws.bounded(TAG_SECONDS):
        while tags:
            try:
                aws.change("ecs", "tag_resource", {"resourceArn": arn, "tags": tags}, repeatable=True)
            except Rejected:
                del tags[-1]
            except (AwsError, DeployError):
                return False
            else:
                return True
    return False


def deregister(aws: Aws, arn: str) -> None:
    """Make a revision INACTIVE; raises AwsError."""
    aws.change("ecs", "deregister_task_definition", {"taskDefinition": arn}, repeatable=True)


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


_DESCRIBED = 10
_MOST_SCHEDULES = 500


_MOST_SERVICES = 50
_MOST_STATE_MACHINES = 500


class TooMany(Exception):
    """There is more than we would look at; it says of what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Users:
    """Who uses task definitions: `names` are those in use, as ARN, family:N or family (its newest one).

    `services` run one of the family that was asked about, as (cluster, name).
    """

    names: frozenset[str]
    services: tuple[tuple[str, str], ...]


def fetch_users(aws: Aws, family: str) -> Users:
    """Return who uses task definitions, and which services run one of *family*; raises AwsError, TooMany.

    EventBridge rules of every bus reach ECS through the cluster (their target's ARN), EventBridge Scheduler
    too, or as a call of the SDK (EventBridge Scheduler User Guide, "Using universal targets"). State machines
    run what their definition names (Step Functions Developer Guide, "Run Amazon ECS or Fargate tasks").
    """
    used: set[str] = set()
    own: list[tuple[str, str]] = []
    with reading("the users of task definitions"):
        buses = [
            bus["Name"]
            for bus in aws.pages("events", "list_event_buses", {}, "EventBuses", following="NextToken")
        ]
        for cluster in aws.pages("ecs", "list_clusters", {}, "clusterArns"):
            for service in _services(aws, cluster):
                names = set(_of_service(service))
                used |= names
                if any(short_id(name).rpartition(":")[0] == family for name in names):
                    own.append((cluster, service["serviceName"]))
            for bus in buses:
                used |= set(_of_rules(aws, cluster, bus))
        used |= set(_of_schedules(aws, family))
        used |= set(_of_state_machines(aws, family))
    if len(own) > _MOST_SERVICES:
        raise TooMany("services of this family")
    return Users(names=frozenset(used), services=tuple(own))


def _services(aws: Aws, cluster: str) -> Iterator[Mapping[str, Any]]:
    arns = list(aws.pages("ecs", "list_services", {"cluster": cluster, "maxResults": 100}, "serviceArns"))
    for at in range(0, len(arns), _DESCRIBED):
        params = {"cluster": cluster, "services": arns[at : at + _DESCRIBED]}
        yield from aws.call("ecs", "describe_services", params).get("services") or ()


def _of_service(service: Mapping[str, Any]) -> Iterator[str]:
    running = (*(service.get("deployments") or ()), *(service.get("taskSets") or ()))
    yield from (str(each.get("taskDefinition", "")) for each in (service, *running))


def _of_rules(aws: Aws, cluster: str, bus: str) -> Iterator[str]:
    params = {"TargetArn": cluster, "EventBusName": bus}
    more = "NextToken"
    for name in aws.pages("events", "list_rule_names_by_target", params, "RuleNames", following=more):
        wanted = {"Rule": name, "EventBusName": bus}
        for target in aws.pages("events", "list_targets_by_rule", wanted, "Targets", following=more):
            yield str((target.get("EcsParameters") or {}).get("TaskDefinitionArn", ""))


def _named_in(text: str, family: str) -> list[str]:
    """Return every family:N of *family* in a JSON text, wherever it stands.

    It may be in an ARN, in a placeholder that is no JSON, or in an expression (JSONata).
    """
    return re.findall(rf"(?<![\w-]){re.escape(family)}:\d+", text)


def _of_state_machines(aws: Aws, family: str) -> Iterator[str]:
    machines = aws.pages("stepfunctions", "list_state_machines", {}, "stateMachines", following="nextToken")
    for number, machine in enumerate(machines):
        if number >= _MOST_STATE_MACHINES:
            raise TooMany("state machines")
        params = {"stateMachineArn": machine["stateMachineArn"]}
        told = aws.call("stepfunctions", "describe_state_machine", params)
        yield from _named_in(str(told["definition"]), family)


def _of_schedules(aws: Aws, family: str) -> Iterator[str]:
    schedules = aws.pages("scheduler", "list_schedules", {}, "Schedules", following="NextToken")
    for number, schedule in enumerate(schedules):
        if number >= _MOST_SCHEDULES:
            raise TooMany("schedules")
        arn = str((schedule.get("Target") or {}).get("Arn", ""))
        if ":cluster/" not in arn and ":aws-sdk:ecs:" not in arn:
            continue
        params = {"Name": schedule["Name"], "GroupName": schedule.get("GroupName", "default")}
        target = aws.call("scheduler", "get_schedule", params).get("Target") or {}
        yield str((target.get("EcsParameters") or {}).get("TaskDefinitionArn", ""))
        yield from _named_in(str(target.get("Input", "")), family)
