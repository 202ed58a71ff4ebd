"""What a task definition and a service need outside themselves, and what AWS's answers say of it.

The looks themselves are `steps/check_references.py`. Sources: Developer Guide, "Amazon ECS task execution IAM
role" and "Amazon ECS task IAM role"; API Reference, Secret and LoadBalancer; Service Authorization Reference.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

from ecs_gpu_deploy.core.definition.task_definition import network_mode
from ecs_gpu_deploy.core.text import plain
from ecs_gpu_deploy.result import Check, CheckStatus

_TASKS: Final = "ecs-tasks.amazonaws.com"
_ASSUME: Final = frozenset({"sts:assumerole", "sts:*", "*"})
_ALLOWED: Final = "allowed"
_AGENTLESS: Final = frozenset({"FARGATE", "EXTERNAL", "MANAGED_INSTANCES"})
"""Where the execution role pulls the image and writes the log; on EC2 the instance's role does."""


def ok(name: str, message: str) -> Check:
    """Return a check that passed."""
    return Check(name=name, status=CheckStatus.OK, message=message)


def failed(name: str, message: str, hint: str = "") -> Check:
    """Return a check that failed."""
    return Check(name=name, status=CheckStatus.FAILED, message=message, hint=hint)


def not_checked(name: str, why: str, hint: str = "") -> Check:
    """Return what could not be looked at, with the reason."""
    text = plain(why, limit=300).rstrip(".")
    return Check(name=name, status=CheckStatus.NOT_CHECKED, message=f"Not checked: {text}.", hint=hint)


def trusts_tasks(trust: str | Mapping[str, Any]) -> bool:
    """Say whether a role's trust policy lets ECS tasks assume it; conditions are not read.

    Source: Developer Guide, "Amazon ECS task execution IAM role", trust relationship.
    """
    document = json.loads(unquote(trust)) if isinstance(trust, str) else trust
    return any(_lets_tasks(statement) for statement in _list(document.get("Statement")))


def _lets_tasks(statement: Mapping[str, Any]) -> bool:
    principal = statement.get("Principal")
    services = _list(principal.get("Service")) if isinstance(principal, Mapping) else [principal]
    actions = {str(action).lower() for action in _list(statement.get("Action"))}
    return (
        statement.get("Effect") == "Allow"
        and bool(actions & _ASSUME)
        and any(each == "*" or str(each).startswith(_TASKS) for each in services)
    )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretWanted:
    """A secret of Secrets Manager that a container gets: its ARN, and its JSON key, "" for all of it."""

    arn: str
    key: str = ""
    stage: str = ""
    version: str = ""

    @classmethod
    def from_value(cls, value: str) -> SecretWanted:
        """Read `valueFrom`: the ARN's seven parts, then `:key:stage:version` (API Reference, Secret)."""
        parts = value.split(":")
        key, stage, version = [*parts[7:10], "", "", ""][:3]
        return cls(arn=":".join(parts[:7]), key=key, stage=stage, version=version)


def secrets_wanted(definition: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return (variable, valueFrom) of each secret of a raw definition, in its order."""
    found = []
    for container in definition.get("containerDefinitions") or ():
        log = container.get("logConfiguration") or {}
        found += [
            (str(secret.get("name") or ""), str(secret["valueFrom"]))
            for secret in (*(container.get("secrets") or ()), *(log.get("secretOptions") or ()))
            if secret.get("valueFrom")
        ]
    return tuple(dict.fromkeys(found))


@dataclass(frozen=True, slots=True, kw_only=True)
class LogGroup:
    """A CloudWatch log group that containers write to; `is_made` where the driver creates it."""

    name: str
    region: str
    is_made: bool = False


def log_groups(definition: Mapping[str, Any]) -> tuple[LogGroup, ...]:
    """Return the log groups of a raw definition (Developer Guide, "Send Amazon ECS logs to CloudWatch")."""
    found = []
    for container in definition.get("containerDefinitions") or ():
        log = container.get("logConfiguration") or {}
        options = log.get("options") or {}
        if log.get("logDriver") == "awslogs" and options.get("awslogs-group"):
            is_made = str(options.get("awslogs-create-group")).lower() == "true"
            region = str(options.get("awslogs-region") or "")
            found.append(LogGroup(name=str(options["awslogs-group"]), region=region, is_made=is_made))
    return tuple(dict.fromkeys(found))


def execution_needs(
    definition: Mapping[str, Any], *, launch_type: str, partition: str, region: str, account: str
) -> tuple[tuple[str, str], ...]:
    """Return (action, resource) of what the execution role has to be allowed, as far as names tell.

    Secrets everywhere; images and logs only where no instance has a role for them. Source: Developer Guide,
    "Amazon ECS task execution IAM role".
    """
    needs = []
    for _, value in secrets_wanted(definition):
        if ":secretsmanager:" in value:
            needs.append(("secretsmanager:GetSecretValue", SecretWanted.from_value(value).arn))
        else:
            name = value.partition(":parameter/")[2] or value.lstrip("/")
            own = f"arn:{partition}:ssm:{region}:{account}:parameter/{name}"
            needs.append(("ssm:GetParameters", value if value.startswith("arn:") else own))
    if launch_type in _AGENTLESS:
        for container in definition.get("containerDefinitions") or ():
            host, _, path = str(container.get("image") or "").partition("/")
            parts = host.split(".")
            if parts[1:3] != ["dkr", "ecr"] or len(parts) < 5:
                continue
            name = path.partition("@")[0].partition(":")[0]
            repository = f"arn:{partition}:ecr:{parts[3]}:{parts[0]}:repository/{name}"
            needs.append(("ecr:GetAuthorizationToken", "*"))
            needs += [("ecr:BatchGetImage", repository), ("ecr:GetDownloadUrlForLayer", repository)]
        for group in log_groups(definition):
            arn = f"arn:{partition}:logs:{group.region or region}:{account}:log-group:{group.name}:*"
            needs += [("logs:CreateLogStream", arn), ("logs:PutLogEvents", arn)]
            if group.is_made:
                needs.append(("logs:CreateLogGroup", arn))
    return tuple(dict.fromkeys(needs))


COMMAND_NEEDS: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "deploy": (
        ("ecs:DescribeServices", "{service}"),
        ("ecs:UpdateService", "{service}"),
        ("ecs:ListServiceDeployments", "{service}"),
        ("ecs:DescribeServiceDeployments", "{service}"),
        ("ecs:StopServiceDeployment", "{service}"),
        ("ecs:DescribeTaskDefinition", "*"),
        ("ecs:RegisterTaskDefinition", "{family}"),
        ("ecs:TagResource", "{family}"),
        ("ecs:ListTasks", "*"),
        ("ecs:DescribeTasks", "{tasks}"),
    ),
    "rollback": (
        ("ecs:DescribeServices", "{service}"),
        ("ecs:UpdateService", "{service}"),
        ("ecs:ListServiceDeployments", "{service}"),
        ("ecs:DescribeServiceDeployments", "{service}"),
        ("ecs:StopServiceDeployment", "{service}"),
        ("ecs:DescribeTaskDefinition", "*"),
        ("ecs:ListTaskDefinitions", "*"),
        ("ecs:ListTasks", "*"),
        ("ecs:DescribeTasks", "{tasks}"),
    ),
}
"""What a command cannot do without, of docs/permissions.md: what it does less well without is left out."""


def command_needs(
    command: str, *, service_arn: str, family: str, roles: Sequence[str]
) -> tuple[tuple[str, str], ...]:
    """Return (action, resource) of what the caller has to be allowed for *command* on a service.

    Roles that are not given by ARN are left out. Source: Service Authorization Reference, Amazon ECS.
    """
    parts = service_arn.split(":")
    if len(parts) < 6:
        return ()
    base = ":".join(parts[:5])
    cluster = parts[5].split("/")[1] if parts[5].count("/") == 2 else "*"
    places = {
        "service": service_arn,
        "family": f"{base}:task-definition/{family}:*",
        "tasks": f"{base}:task/{cluster}/*",
    }
    needs = [(action, place.format(**places)) for action, place in COMMAND_NEEDS.get(command, ())]
    needs += [("iam:PassRole", role) for role in roles if role.startswith("arn:")]
    return tuple(dict.fromkeys(needs))


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What IAM's simulation says of one action on one resource; `lacks` are the condition keys it missed."""

    action: str
    resource: str
    decision: str
    lacks: tuple[str, ...] = ()

    @property
    def is_allowed(self) -> bool:
        """Say whether the policies of the principal allow it."""
        return self.decision.lower() == _ALLOWED


def permission_check(
    name: str, who: str, needs: Iterable[tuple[str, str]], decisions: Iterable[Decision]
) -> Check:
    """Return whether *who* may do all of *needs*: what lacks as a statement to paste.

    A denial that hangs on a condition whose value the simulation did not have is no denial: not checked.
    Source: IAM API Reference, SimulatePrincipalPolicy.
    """
    told = {(each.action.lower(), each.resource): each for each in decisions}
    missing: list[tuple[str, str]] = []
    unsure: list[str] = []
    for action, resource in needs:
        decision = told.get((action.lower(), resource))
        if decision is None or (not decision.is_allowed and decision.lacks):
            unsure.append(action)
        elif not decision.is_allowed:
            missing.append((action, resource))
    if missing:
        actions = ", ".join(dict.fromkeys(action for action, _ in missing))
        return failed(name, f"{who} is not allowed {actions}.", f"Add to its policy: {statement(missing)}")
    if unsure:
        return not_checked(name, f"whether {who} may {', '.join(dict.fromkeys(unsure))} hangs on conditions")
    return ok(name, f"The policies of {who} allow what is needed.")


def across_accounts(check: Check, who: str, needs: Iterable[tuple[str, str]]) -> Check:
    """Return *check*, or that it is not one where *needs* are on what another account than *who*'s has.

    There both sides have to allow it, and the policy of the other is not seen. Source: IAM User Guide,
    "Cross account resource access in IAM".
    """
    own = who.split(":")[4]
    owners = dict.fromkeys(each[4] for _, resource in needs if len(each := resource.split(":")) > 4)
    others = [each for each in owners if each not in {"", "*", own}]
    if not others or check.status is not CheckStatus.OK:
        return check
    why = (
        f"the policies of {who} allow what is needed; what the account {', '.join(others)} allows is not seen"
    )
    return not_checked(check.name, why, "Look at the policies of its secrets, keys and repositories.")


_READING: Final = ("BatchGet", "Describe", "Get", "List")


def own_permission_check(
    name: str, who: str, needs: Sequence[tuple[str, str]], decisions: Sequence[Decision]
) -> Check:
    """Return what `permission_check` says of the caller; of one that may change nothing it is not checked.

    A role that only plans is right to have none of it, and what the one that deploys may is not seen from it.
    """
    clear = [each for each in decisions if not (each.is_allowed or each.lacks)]
    denied = {(each.action.lower(), each.resource) for each in clear}
    changes = [each for each in needs if not each[0].partition(":")[2].startswith(_READING)]
    if all((action.lower(), resource) in denied for action, resource in changes):
        why = f"{who} may change nothing here, and what the role that deploys may is not seen from it"
        return not_checked(name, why, "Run plan with the role that deploys to see it.")
    return permission_check(name, who, needs, decisions)


def statement(needs: Sequence[tuple[str, str]]) -> str:
    """Return IAM statements, as JSON, that allow *needs*: one for those of the same resources."""
    by_resource: dict[str, list[str]] = {}
    for action, resource in needs:
        by_resource.setdefault(resource, []).append(action)
    by_actions: dict[tuple[str, ...], list[str]] = {}
    for resource, actions in by_resource.items():
        by_actions.setdefault(tuple(sorted(actions)), []).append(resource)
    statements = [
        {"Effect": "Allow", "Action": list(actions), "Resource": resources}
        for actions, resources in by_actions.items()
    ]
    return json.dumps(statements[0] if len(statements) == 1 else statements)


def balancer_checks(
    definition: Mapping[str, Any], service: Mapping[str, Any], groups: Sequence[Mapping[str, Any]]
) -> Iterator[Check]:
    """Yield whether each load balancer of a raw service fits *definition*: container, port, type, protocol.

    Sources: Developer Guide, "Use load balancing to distribute Amazon ECS service traffic"; API Reference,
    LoadBalancer and PortMapping.
    """
    known = {group.get("TargetGroupArn"): group for group in groups}
    for balancer in service.get("loadBalancers") or ():
        arn = balancer.get("targetGroupArn")
        if not arn:
            continue
        name = f"target group {arn.split('/')[1] if arn.count('/') > 1 else arn}"
        group = known.get(arn)
        yield (
            failed(name, f"There is no {name}.", "Give the service another target group.")
            if (group is None)
            else _balancer_check(name, definition, balancer, group)
        )


def _balancer_check(
    name: str, definition: Mapping[str, Any], balancer: Mapping[str, Any], group: Mapping[str, Any]
) -> Check:
    wanted, port = balancer.get("containerName"), balancer.get("containerPort")
    containers = {each.get("name"): each for each in definition.get("containerDefinitions") or ()}
    if wanted not in containers:
        return failed(
            name,
            f"It sends to the container {wanted}, which the task definition does not have.",
            "Name the container so.",
        )
    ports = [
        each
        for each in containers[wanted].get("portMappings") or ()
        if each.get("containerPort") == port or each.get("containerPortRange")
    ]
    if not ports:
        return failed(
            name,
            f"It sends to port {port} of the container {wanted}, which has no port mapping for it.",
            f"Add containerPort {port} to its portMappings.",
        )
    mode = network_mode(definition)
    type_wanted = "ip" if mode == "awsvpc" else "instance"
    if group.get("TargetType") not in {None, type_wanted}:
        return failed(
            name,
            f"Its target type is {group['TargetType']}, and the network mode {mode} needs {type_wanted}.",
            f"Use a target group of the type {type_wanted}: the type of one cannot be changed.",
        )
    spoken = str(ports[0].get("protocol") or "tcp").upper()
    of_group = str(group.get("Protocol") or "HTTP")
    if (spoken == "UDP") != (of_group in {"UDP", "QUIC"}) and of_group not in {"TCP_UDP", "TCP_QUIC"}:
        return failed(
            name,
            f"It speaks {of_group}, and port {port} of the container {wanted} is mapped for {spoken}.",
            "Make the protocols the same.",
        )
    return ok(name, f"It sends to {wanted}:{port}.")


def platform_check(
    image: str, platforms: Sequence[str] | None, architectures: Sequence[str], *, why: str = ""
) -> Check:
    """Return whether *image* is there for each of the instances' *architectures* (x86_64, arm64).

    *platforms* (linux/amd64) is None where its manifest does not say. Source: OCI image specification, "Image
    Index"; Developer Guide, "Amazon ECS-optimized Linux AMIs" (ecs.cpu-architecture).
    """
    name = f"image {image}"
    if platforms is None or not architectures:
        return not_checked(name, why or "no instance says which architecture it has")
    wanted = {f"linux/{platform_word(each)}" for each in architectures}
    missing = sorted(wanted - {each.removesuffix("/v8") for each in platforms})
    if len(missing) == len(wanted):
        return failed(
            name,
            f"It is built for {', '.join(platforms) or 'no platform'}, and the instances are "
            f"{', '.join(sorted(wanted))}.",
            "Build it for that platform (platforms).",
        )
    there = ", ".join(sorted(wanted - set(missing)))
    if missing:
        why = f"it is there for {there}, other instances are {', '.join(missing)}: where ECS puts it is open"
        return not_checked(name, why, "Build it for both, or keep it off the others (placementConstraints).")
    return ok(name, f"It is there for {there}.")


def platform_word(architecture: str) -> str:
    """Return how images name an *architecture* that an instance names (OCI image specification)."""
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(architecture, architecture)
