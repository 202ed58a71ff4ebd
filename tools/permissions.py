"""From recorded API calls to IAM: which action needs which resource, and the policy that is exactly that.

Source of resources and conditions: Service Authorization Reference (Amazon ECS, Amazon ECR, Elastic Load
Balancing, CloudWatch Logs, IAM), and Amazon ECR User Guide, "IAM permissions for pushing an image".
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ecs_gpu_deploy.errors import InternalError

SERVICE: Final = "arn:aws:ecs:REGION:ACCOUNT:service/CLUSTER/SERVICE"
DEPLOYMENT: Final = "arn:aws:ecs:REGION:ACCOUNT:service-deployment/CLUSTER/SERVICE/*"
REVISION: Final = "arn:aws:ecs:REGION:ACCOUNT:service-revision/CLUSTER/SERVICE/*"
CLUSTER: Final = "arn:aws:ecs:REGION:ACCOUNT:cluster/CLUSTER"
FAMILY: Final = "arn:aws:ecs:REGION:ACCOUNT:task-definition/FAMILY:*"
TASKS: Final = "arn:aws:ecs:REGION:ACCOUNT:task/CLUSTER/*"
INSTANCES: Final = "arn:aws:ecs:REGION:ACCOUNT:container-instance/CLUSTER/*"
REPOSITORY: Final = "arn:aws:ecr:REGION:ACCOUNT:repository/REPOSITORY"
LOG_GROUP: Final = "arn:aws:logs:REGION:ACCOUNT:log-group:LOG_GROUP:*"
APPLICATION: Final = "arn:aws:codedeploy:REGION:ACCOUNT:application:APPLICATION"
GROUP: Final = "arn:aws:codedeploy:REGION:ACCOUNT:deploymentgroup:APPLICATION/GROUP"
CONFIG: Final = "arn:aws:codedeploy:REGION:ACCOUNT:deploymentconfig:*"
ALL: Final = "*"

PREFIXES: Final[Mapping[str, str]] = {
    "elbv2": "elasticloadbalancing",
    "resourcegroupstaggingapi": "tag",
    "stepfunctions": "states",
}
"""boto3's name of a service, where IAM's prefix is another one."""

DOCKER_PUSH: Final = (
    "ecr:BatchCheckLayerAvailability",
    "ecr:BatchGetImage",
    "ecr:CompleteLayerUpload",
    "ecr:GetDownloadUrlForLayer",
    "ecr:InitiateLayerUpload",
    "ecr:PutImage",
    "ecr:UploadLayerPart",
)
"""What Docker itself does with the repository while it pushes (and reads a registry cache)."""

WITH_TAGS: Final[dict[str, str]] = {
    "ecs:RegisterTaskDefinition": "ecs:TagResource",
    "ecs:RunTask": "ecs:TagResource",
    "ecr-public:GetAuthorizationToken": "sts:GetServiceBearerToken",
}
"""What AWS asks for as well: when a resource is made with tags, for a token of the public registry."""

ASKED_TOO: Final[dict[str, str]] = {"codedeploy:CreateDeployment": "codedeploy:RegisterApplicationRevision"}
"""What AWS asks for besides: the AppSpec of a deployment is registered as a revision of its application."""

CODEDEPLOY: Final = "a service that CodeDeploy deploys"
"""Under this all commands are recorded for such a service, besides what each needs for one of ECS's."""

NO_GRANT: Final = frozenset({"sts:AssumeRoleWithWebIdentity", "sts:GetCallerIdentity"})
"""Granted by the role's trust policy, or to everyone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Where an action is allowed, and why it is wanted; `without` says what happens where it is missing."""

    resources: tuple[str, ...]
    why: str
    without: str = ""
    condition: str = ""


def _grant(resources: str | tuple[str, ...], why: str, without: str = "", condition: str = "") -> Grant:
    listed = (resources,) if isinstance(resources, str) else resources
    return Grant(resources=listed, why=why, without=without, condition=condition)


GRANTS: Final[Mapping[str, Grant]] = {
    "ecs:DescribeServices": _grant(SERVICE, "see the service and its deployments"),
    "ecs:ListServices": _grant(ALL, "name the services there are", "a wrong name gets no suggestion"),
    "ecs:UpdateService": _grant(SERVICE, "start the deployment"),
    "ecs:UpdateExpressGatewayService": _grant(SERVICE, "start the deployment of an Express Mode service"),
    "ecs:DescribeTaskDefinition": _grant(ALL, "read the revision that runs"),
    "ecs:ListTaskDefinitions": _grant(
        ALL,
        "find revisions to roll back to, and the one that a run before this has registered",
        "a rollback by revision ends; a revision that a killed run has left is registered again",
    ),
    "ecs:ListTaskDefinitionFamilies": _grant(ALL, "name the families there are"),
    "ecs:RegisterTaskDefinition": _grant(FAMILY, "register the new revision"),
    "ecs:DeregisterTaskDefinition": _grant(ALL, "tidy up old revisions (keep-revisions)"),
    "ecs:TagResource": _grant(
        (FAMILY, TASKS), "tag revisions with commit and outcome, and tasks", "they have no tags"
    ),
    "ecs:ListServiceDeployments": _grant(
        SERVICE, "find the service deployment of this run", "the verdict comes from DescribeServices alone"
    ),
    "ecs:DescribeServiceDeployments": _grant(
        (SERVICE, DEPLOYMENT),
        "follow the service deployment",
        "the verdict comes from DescribeServices alone",
    ),
    "ecs:DescribeServiceRevisions": _grant((SERVICE, REVISION), "tell which revision ran when"),
    "ecs:StopServiceDeployment": _grant(
        (SERVICE, DEPLOYMENT), "roll back (on-timeout, on-failure, on-cancel)"
    ),
    "ecs:ContinueServiceDeployment": _grant((SERVICE, DEPLOYMENT), "answer a pause hook (continue, reject)"),
    "ecs:ListTasks": _grant(ALL, "find the tasks", condition="cluster"),
    "ecs:DescribeTasks": _grant(TASKS, "follow the tasks"),
    "ecs:RunTask": _grant(FAMILY, "run a batch task", condition="cluster"),
    "ecs:StopTask": _grant(TASKS, "stop a batch task"),
    "ecs:ListContainerInstances": _grant(CLUSTER, "find the GPUs", "placement is explained without numbers"),
    "ecs:DescribeContainerInstances": _grant(
        INSTANCES, "count free GPUs per instance", "placement is explained without numbers"
    ),
    "ecs:DescribeClusters": _grant(
        CLUSTER, "see the cluster, and its capacity providers", "those that it has are not known"
    ),
    "ecs:DescribeCapacityProviders": _grant(
        ALL, "see whether instances can be added", "no instance is foreseen to come"
    ),
    "ecr:GetAuthorizationToken": _grant(ALL, "log in to ECR"),
    "ecr-public:GetAuthorizationToken": _grant(ALL, "log in to public.ecr.aws (registry)"),
    "sts:GetServiceBearerToken": _grant(ALL, "log in to public.ecr.aws (registry)"),
    "ecr:DescribeImages": _grant(
        REPOSITORY, "see the image, its digest, its scan", "the image is not checked"
    ),
    "ecr:DescribePullThroughCacheRules": _grant(
        ALL,
        "see whether an image that is not there comes with its first pull",
        "a missing image is refused, a missing repository is not checked",
    ),
    "ecr:DescribeRepositories": _grant(REPOSITORY, "see the repository before a build"),
    "ecr:DescribeImageScanFindings": _grant(REPOSITORY, "read the scan (fail-on-severity)"),
    "ecr:BatchGetImage": _grant(
        REPOSITORY,
        "compare layers, see the images of an index, verify attestations; push",
        "nothing is said of new layers, and no digest of an index compared; with require-attestation refused",
    ),
    "ecr:PutImage": _grant(REPOSITORY, "tag an image; push"),
    "ecr:GetLifecyclePolicy": _grant(
        REPOSITORY, "warn of images that are about to go", "there is no such warning"
    ),
    "ecr:CreateRepository": _grant(REPOSITORY, "create the repository (create-repository)"),
    "ecr:PutLifecyclePolicy": _grant(REPOSITORY, "give it a lifecycle policy (create-repository)"),
    "ecr:UpdateImageStorageClass": _grant(REPOSITORY, "restore an archived image (restore-archived)"),
    "ecr:BatchCheckLayerAvailability": _grant(REPOSITORY, "push: which layers are there"),
    "ecr:InitiateLayerUpload": _grant(REPOSITORY, "push"),
    "ecr:UploadLayerPart": _grant(REPOSITORY, "push"),
    "ecr:CompleteLayerUpload": _grant(REPOSITORY, "push"),
    "ecr:GetDownloadUrlForLayer": _grant(
        REPOSITORY,
        "read the image's configuration, for rules; a cache in the registry",
        "rules are not checked",
    ),
    "elasticloadbalancing:DescribeLoadBalancerAttributes": _grant(
        ALL, "see the idle timeout, for rules", "rules are not checked"
    ),
    **{
        f"elasticloadbalancing:Describe{what}": _grant(
            ALL, "say under which address the service answers", "service-url is empty"
        )
        for what in ("LoadBalancers", "Listeners", "Rules")
    },
    "elasticloadbalancing:DescribeTargetHealth": _grant(
        ALL, "say which target is unhealthy, and why", "the reason is not known"
    ),
    "elasticloadbalancing:DescribeTargetGroups": _grant(
        ALL, "derive deadlines from the health check", "deadlines are guessed"
    ),
    "elasticloadbalancing:DescribeTargetGroupAttributes": _grant(
        ALL, "derive deadlines from the deregistration delay", "deadlines are guessed"
    ),
    "elasticloadbalancing:DescribeLoadBalancers": _grant(ALL, "see the load balancer"),
    "elasticloadbalancing:DescribeListeners": _grant(ALL, "see the listeners"),
    "elasticloadbalancing:DescribeRules": _grant(ALL, "see the rules"),
    "logs:GetLogEvents": _grant(
        LOG_GROUP, "show the log lines that prove the cause", "no log lines are shown"
    ),
    "logs:FilterLogEvents": _grant(LOG_GROUP, "follow the log of a batch task", "no log lines are shown"),
    "logs:DescribeLogGroups": _grant(ALL, "check that the log group exists"),
    "logs:DescribeLogStreams": _grant(LOG_GROUP, "find the log of a task"),
    "ecs:ListClusters": _grant(
        ALL,
        "see who else uses a revision (keep-revisions), who else rolls out (calibrate)",
        "none is deregistered; other clusters do not count",
    ),
    "events:ListEventBuses": _grant(
        ALL, "see which rules run a revision (keep-revisions)", "none is deregistered"
    ),
    "events:ListRuleNamesByTarget": _grant(
        ALL, "see which rules run a revision (keep-revisions)", "none is deregistered"
    ),
    "events:ListTargetsByRule": _grant(
        ALL, "see which rules run a revision (keep-revisions)", "none is deregistered"
    ),
    "scheduler:ListSchedules": _grant(
        ALL, "see which schedules run a revision (keep-revisions)", "none is deregistered"
    ),
    "scheduler:GetSchedule": _grant(
        ALL, "see which schedules run a revision (keep-revisions)", "none is deregistered"
    ),
    "states:ListStateMachines": _grant(
        ALL, "see which state machines run a revision (keep-revisions)", "none is deregistered"
    ),
    "states:DescribeStateMachine": _grant(
        ALL, "see which state machines run a revision (keep-revisions)", "none is deregistered"
    ),
    "tag:GetResources": _grant(
        ALL,
        "find a revision by its commit, and how long earlier rollouts took",
        "revisions are read one by one; plan knows the running revision's rollout alone",
    ),
    "iam:GetRole": _grant("arn:aws:iam::ACCOUNT:role/TASK_ROLE", "check that the roles exist", "not checked"),
    "secretsmanager:DescribeSecret": _grant(
        "arn:aws:secretsmanager:REGION:ACCOUNT:secret:SECRET-*", "check that the secrets exist", "not checked"
    ),
    "secretsmanager:GetSecretValue": _grant(
        "arn:aws:secretsmanager:REGION:ACCOUNT:secret:SECRET-*",
        "see whether a secret has the JSON key that is taken of it",
        "not checked",
    ),
    "ssm:DescribeParameters": _grant(ALL, "check that the parameters exist", "not checked"),
    "ssm:GetParameters": _grant(
        "arn:aws:ssm:REGION:ACCOUNT:parameter/PARAMETER", "check that the parameters exist", "not checked"
    ),
    "application-autoscaling:DescribeScalableTargets": _grant(ALL, "see the limits of scaling"),
    "autoscaling:DescribeAutoScalingGroups": _grant(
        ALL, "see how many instances can be added", "as many are taken to come as are needed"
    ),
    **{
        f"ec2:Describe{what}": _grant(ALL, f"check that the {words}", "not checked")
        for what, words in (
            ("Images", "instances' AMIs are within their support"),
            ("SecurityGroups", "security groups exist"),
            ("Subnets", "subnets exist"),
        )
    },
    "iam:SimulatePrincipalPolicy": _grant(
        ("arn:aws:iam::ACCOUNT:role/EXECUTION_ROLE", "arn:aws:iam::ACCOUNT:role/ROLE"),
        "check what the execution role and this role are allowed",
        "not checked",
    ),
    "ec2:DescribeInstanceTypes": _grant(ALL, "see what an instance type has"),
    "cloudwatch:DescribeAlarms": _grant(
        ALL, "see that the alarms exist (alarms, alarm-action)", "a wrong name is not seen before"
    ),
    "codedeploy:GetDeploymentGroup": _grant(GROUP, "see that the deployment group is of this service"),
    "codedeploy:GetDeploymentConfig": _grant(
        CONFIG, "add the time of the traffic shift to the timeout", "the timeout may come before its end"
    ),
    "codedeploy:ListDeployments": _grant(
        GROUP, "see whether another deployment is under way; find past ones (rollback, history)"
    ),
    "codedeploy:BatchGetDeployments": _grant(GROUP, "see whether another is under way; find past ones"),
    "codedeploy:CreateDeployment": _grant(GROUP, "start the deployment"),
    "codedeploy:GetDeployment": _grant(GROUP, "follow the deployment and its rollback"),
    "codedeploy:ListDeploymentTargets": _grant(
        GROUP, "find the lifecycle events", "lifecycle events and traffic are not shown"
    ),
    "codedeploy:BatchGetDeploymentTargets": _grant(
        GROUP, "follow lifecycle events, hooks and traffic", "lifecycle events and traffic are not shown"
    ),
    "codedeploy:StopDeployment": _grant(GROUP, "roll back (on-timeout, on-failure, on-cancel)"),
    "codedeploy:RegisterApplicationRevision": _grant(APPLICATION, "start the deployment: its AppSpec"),
    "sts:AssumeRole": _grant("arn:aws:iam::ACCOUNT:role/ROLE", "assume the roles of role-chain"),
}

_PASS_ROLE: Final[Mapping[str, Any]] = {
    "Sid": "PassRolesToTasks",
    "Effect": "Allow",
    "Action": "iam:PassRole",
    "Resource": ["arn:aws:iam::ACCOUNT:role/TASK_ROLE", "arn:aws:iam::ACCOUNT:role/EXECUTION_ROLE"],
    "Condition": {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}},
}
_PASSING: Final = frozenset({"ecs:RegisterTaskDefinition", "ecs:RunTask"})


def iam_action(call: str) -> str:
    """Return the IAM action of a call as boto3 names it: elbv2.DescribeRules, github.GetToken gives ""."""
    service, _, operation = call.partition(".")
    return "" if service == "github" else f"{PREFIXES.get(service, service)}:{operation}"


def actions_of(calls: Iterable[str]) -> tuple[str, ...]:
    """Return the IAM actions of recorded calls, sorted."""
    return tuple(sorted({action for call in calls if (action := iam_action(call))}))


def grant_of(action: str) -> Grant:
    """Return where *action* is allowed; InternalError for one that the table lacks."""
    try:
        return GRANTS[action]
    except KeyError:
        raise InternalError(
            f"The action {action} is called, but tools/permissions.py does not know it."
        ) from None


def policy(actions: Iterable[str]) -> dict[str, Any]:
    """Return the IAM policy that allows exactly *actions*, with placeholders in capitals."""
    together: dict[tuple[tuple[str, ...], str], list[str]] = {}
    wanted = sorted(set(actions) - NO_GRANT)
    for action in wanted:
        grant = grant_of(action)
        together.setdefault((grant.resources, grant.condition), []).append(action)
    statements: list[dict[str, Any]] = []
    for (resources, condition), group in together.items():
        statement: dict[str, Any] = {
            "Effect": "Allow",
            "Action": group,
            "Resource": list(resources) if len(resources) > 1 else resources[0],
        }
        if condition == "cluster":
            statement["Condition"] = {"ArnEquals": {"ecs:cluster": CLUSTER}}
        statements.append(statement)
    if _PASSING & set(wanted):
        statements.append(dict(_PASS_ROLE))
    return {"Version": "2012-10-17", "Statement": statements}


def permissions_markdown(recorded: Mapping[str, Iterable[str]]) -> str:
    """Return docs/permissions.md from the recorded actions of each command."""
    parts = [
        "# Permissions\n\n"
        "What each command calls, recorded from runs against the local AWS (docs/permissions.json, written "
        "by `make permissions`, checked in CI), and the IAM policy that is exactly that. Names in capitals "
        "are yours to fill in; what has an option in brackets is only needed with it. "
        "`ecs:cluster` is no condition for RegisterTaskDefinition and "
        "DescribeTaskDefinition: with it they are denied."
    ]
    for command, actions in recorded.items():
        needed = sorted(set(actions))
        rows = list(_HEAD)
        for action in needed:
            if action in NO_GRANT:
                rows.append(f"| `{action}` | | no grant needed: the role's trust policy, or everyone's | |")
                continue
            rows.append(_row(action))
        text = json.dumps(policy(needed), indent=2)
        parts.append(f"## {command}\n\n" + "\n".join(rows) + f"\n\n```json\n{text}\n```")
    return "\n\n".join(parts) + "\n"


_HEAD: Final = ("| Action | Resource | What for | Without it |", "|---|---|---|---|")


def _row(action: str) -> str:
    grant = grant_of(action)
    where = "<br>".join(f"`{resource.rpartition(':ACCOUNT:')[2]}`" for resource in grant.resources)
    without = grant.without or "the command ends, if it comes to that"
    return f"| `{action}` | {where} | {grant.why} | {without} |"
