"""What IAM decides about a recorded API call: action, resource and condition keys.

Which action takes which resource and which keys: Service Authorization Reference (ECS, ECR, ELB, Logs).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

ACCOUNT = "123456789012"
ECS = f"arn:aws:ecs:eu-central-1:{ACCOUNT}"
WITHOUT_RESOURCE = frozenset(
    {
        "autoscaling:DescribeAutoScalingGroups",
        "ec2:DescribeImages",
        "ecr:GetAuthorizationToken",
        "ecs:DescribeTaskDefinition",
        "ecs:ListTaskDefinitions",
        "logs:DescribeLogGroups",
    }
)
WITHOUT_GRANT = frozenset({"sts:GetCallerIdentity", "sts:AssumeRoleWithWebIdentity", "github:GetToken"})
TASK_SERVICE = "ecs-tasks.amazonaws.com"


class UnknownCall(Exception):
    """A call whose resource is not known here: add it, and a statement to the policy if it needs one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IamRequest:
    """One decision: may this action touch this resource, with these condition keys in the context?"""

    action: str
    resource: str
    context: tuple[tuple[str, str], ...] = ()

    def as_json(self, principal: str) -> dict[str, Any]:
        """Return the request as the judge reads it."""
        return {
            "principal": principal,
            "action": self.action,
            "resource": self.resource,
            "accountId": ACCOUNT,
            "context": dict(self.context),
        }

    def elsewhere(self, old: str, new: str) -> IamRequest:
        """Return the same request about another thing: every `old` in ARNs and keys becomes `new`."""
        return replace(
            self,
            resource=self.resource.replace(old, new),
            context=tuple((key, value.replace(old, new)) for key, value in self.context),
        )


def iam_requests(
    call: Mapping[str, Any], *, roles_of: Mapping[str, Collection[str]] | None = None
) -> Iterator[IamRequest]:
    """Yield what IAM decides about a call of the sandbox's log; raise `UnknownCall` for a new operation.

    `roles_of` names the roles of each task definition family: RunTask passes them without saying so.
    """
    action, parameters = f"{call['service']}:{call['operation']}", call["parameters"]
    if action in WITHOUT_GRANT:
        return
    if action in WITHOUT_RESOURCE or action.startswith("elasticloadbalancing:Describe"):
        yield IamRequest(action=action, resource="*")
        return
    match call["service"]:
        case "ecs":
            yield from _ecs(action, parameters, roles_of or {})
        case "ecr":
            for name in parameters.get("repositoryNames") or [parameters["repositoryName"]]:
                repository = f"arn:aws:ecr:eu-central-1:{ACCOUNT}:repository/{name}"
                yield IamRequest(action=action, resource=repository)
        case "logs":
            yield _logs(action, parameters)
        case "tag":
            yield IamRequest(action=action, resource="*")
        case "iam":
            role = (
                parameters.get("PolicySourceArn") or f"arn:aws:iam::{ACCOUNT}:role/{parameters['RoleName']}"
            )
            yield IamRequest(action=action, resource=role)
        case "secretsmanager":
            yield IamRequest(action=action, resource=parameters["SecretId"])
        case _:
            raise UnknownCall(action)


def roles_in(task_definition: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the ARNs of the roles that a task definition names."""
    roles = (task_definition.get("taskRoleArn"), task_definition.get("executionRoleArn"))
    return tuple(role for role in roles if role)


def _ecs(
    action: str, parameters: Mapping[str, Any], roles_of: Mapping[str, Collection[str]]
) -> Iterator[IamRequest]:
    cluster = str(parameters.get("cluster") or "default").rpartition("/")[2]
    in_cluster = (("ecs:cluster", f"{ECS}:cluster/{cluster}"),)

    def service(name: str) -> str:
        return name if name.startswith("arn:") else f"{ECS}:service/{cluster}/{name}"

    match action.removeprefix("ecs:"):
        case "DescribeServices":
            for name in parameters["services"]:
                yield IamRequest(action=action, resource=service(name), context=in_cluster)
        case "ListServiceDeployments" | "UpdateService":
            yield IamRequest(action=action, resource=service(parameters["service"]), context=in_cluster)
        case "DescribeServiceDeployments" | "StopServiceDeployment" | "DescribeServiceRevisions":
            for name in ("serviceDeploymentArns", "serviceRevisionArns", "serviceDeploymentArn"):
                arns = parameters.get(name) or ()
                for arn in [arns] if isinstance(arns, str) else arns:
                    own_cluster, own_service = arn.split("/")[1:3]
                    context = (
                        ("ecs:cluster", f"{ECS}:cluster/{own_cluster}"),
                        ("ecs:service", f"{ECS}:service/{own_cluster}/{own_service}"),
                    )
                    yield IamRequest(action=action, resource=arn, context=context)
        case "RegisterTaskDefinition":
            revision = f"{ECS}:task-definition/{parameters['family']}:1"
            yield IamRequest(action=action, resource=revision)
            if parameters.get("tags"):
                created = (("ecs:CreateAction", "RegisterTaskDefinition"),)
                yield IamRequest(action="ecs:TagResource", resource=revision, context=created)
            yield from _passed(roles_in(parameters))
        case "TagResource":
            yield IamRequest(action=action, resource=parameters["resourceArn"])
        case "DescribeClusters":
            for name in parameters["clusters"]:
                yield IamRequest(action=action, resource=f"{ECS}:cluster/{name.rpartition('/')[2]}")
        case "DescribeCapacityProviders":
            yield IamRequest(action=action, resource=f"{ECS}:capacity-provider/any")
        case "ListTasks":
            anywhere = f"{ECS}:container-instance/{cluster}/any"
            yield IamRequest(action=action, resource=anywhere, context=in_cluster)
        case "ListServices":
            yield IamRequest(action=action, resource="*", context=in_cluster)
        case "DescribeTasks":
            for task in parameters["tasks"]:
                arn = task if task.startswith("arn:") else f"{ECS}:task/{cluster}/{task}"
                yield IamRequest(action=action, resource=arn, context=in_cluster)
        case "StopTask":
            yield IamRequest(action=action, resource=parameters["task"], context=in_cluster)
        case "DescribeContainerInstances":
            for arn in parameters["containerInstances"]:
                yield IamRequest(action=action, resource=arn, context=in_cluster)
        case "ListContainerInstances":
            yield IamRequest(action=action, resource=f"{ECS}:cluster/{cluster}")
        case "RunTask":
            family = parameters["taskDefinition"].rpartition("/")[2].partition(":")[0]
            revision = f"{ECS}:task-definition/{family}:1"
            yield IamRequest(action=action, resource=revision, context=in_cluster)
            yield from _passed([*roles_of.get(family, ()), *roles_in(parameters.get("overrides") or {})])
            if parameters.get("tags"):
                created = (("ecs:CreateAction", "RunTask"),)
                yield IamRequest(
                    action="ecs:TagResource", resource=f"{ECS}:task/{cluster}/any", context=created
                )
        case _:
            raise UnknownCall(action)


def _passed(roles: Collection[str]) -> Iterator[IamRequest]:
    for role in roles:
        context = (("iam:PassedToService", TASK_SERVICE),)
        yield IamRequest(action="iam:PassRole", resource=role, context=context)


def _logs(action: str, parameters: Mapping[str, Any]) -> IamRequest:
    group = f"arn:aws:logs:eu-central-1:{ACCOUNT}:log-group:{parameters.get('logGroupName', '')}"
    match action.removeprefix("logs:"):
        case "GetLogEvents":
            return IamRequest(action=action, resource=f"{group}:log-stream:{parameters['logStreamName']}")
        case "FilterLogEvents":
            return IamRequest(action=action, resource=f"{group}:*")
        case _:
            raise UnknownCall(action)
