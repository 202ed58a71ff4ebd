"""What a task definition names outside ECS: do its roles and secrets still exist."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ecs_gpu_deploy.edges.aws.answers import AwsError, Missing, reading
from ecs_gpu_deploy.edges.aws.client import Aws

_PARAMETERS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Prerequisites:
    """The names that do not exist any more, and why others could not be looked up."""

    gone: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()


def fetch_prerequisites(
    aws: Aws, definition: Mapping[str, Any], *, known: Collection[str] = ()
) -> Prerequisites:
    """Look up roles and secrets of the raw *definition*, save those *known* to be there. No value is read."""
    gone: list[str] = []
    unseen: list[str] = []
    names = [name for name in dict.fromkeys(secrets_of(definition)) if name not in known]
    checks: list[tuple[Callable[[Aws, list[str]], list[str]], list[str]]] = [
        (_role_is_gone, [role]) for role in roles_of(definition) if role not in known
    ]
    checks += [(_secret_is_gone, [name]) for name in names if ":secretsmanager:" in name]
    account = next((role.split(":")[4] for role in roles_of(definition) if role.count(":") > 4), "")
    by_region: dict[str, list[str]] = {}
    for name in (each for each in names if ":secretsmanager:" not in each):
        region, owner = [*name.split(":")[3:5], "", ""][:2]
        if owner and account and owner != account:
            unseen.append(f"{name}: it is a parameter of another account, which shows those of its own alone")
        else:
            by_region.setdefault(region, []).append(name)
    checks += [
        (_parameters_gone, parameters[at : at + _PARAMETERS])
        for parameters in by_region.values()
        for at in range(0, len(parameters), _PARAMETERS)
    ]
    for look, wanted in checks:
        try:
            gone += look(aws, wanted)
        except AwsError as error:
            unseen.append(f"{', '.join(wanted)}: {error.text}")
    return Prerequisites(gone=tuple(gone), unseen=tuple(unseen))


def roles_of(definition: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the roles that a raw task definition names."""
    named = (definition.get("executionRoleArn"), definition.get("taskRoleArn"))
    return tuple(dict.fromkeys(str(role) for role in named if role))


def secrets_of(definition: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the secrets of a raw task definition come from."""
    for container in definition.get("containerDefinitions") or ():
        log = container.get("logConfiguration") or {}
        for secret in (*(container.get("secrets") or ()), *(log.get("secretOptions") or ())):
            if secret.get("valueFrom"):
                yield str(secret["valueFrom"])


def _role_is_gone(aws: Aws, roles: list[str]) -> list[str]:
    try:
        aws.call("iam", "get_role", {"RoleName": roles[0].rpartition("/")[2]})
    except Missing:
        return [f"role {roles[0]}"]
    return []


def _secret_is_gone(aws: Aws, names: list[str]) -> list[str]:
    """Say whether the secret is deleted; a name may carry `:key:stage:version` after the ARN's 7 parts."""
    parts = names[0].split(":")
    arn = ":".join(parts[:7])
    try:
        answer = aws.call("secretsmanager", "describe_secret", {"SecretId": arn}, region=parts[3] or None)
    except Missing:
        return [f"secret {arn}"]
    return [f"secret {arn} (deleted)"] if answer.get("DeletedDate") else []


def _parameters_gone(aws: Aws, names: list[str]) -> list[str]:
    """Return the SSM parameters, all of one Region, that are not there; their values are not read.

    A name without an ARN is one of our own Region (API Reference, Secret).
    """
    region = [*names[0].split(":")[3:4], ""][0] or None
    by_name = {_parameter_name(name): name for name in names}
    params: dict[str, Any] = {
        "ParameterFilters": [{"Key": "Name", "Option": "Equals", "Values": list(by_name)}],
        "MaxResults": _PARAMETERS,
    }
    listed = aws.pages(
        "ssm", "describe_parameters", params, "Parameters", following="NextToken", region=region
    )
    with reading("ssm.DescribeParameters"):
        found = {str(item.get("Name", "")) for item in listed}
    return [f"parameter {name}" for name in by_name if name not in found]


def _parameter_name(value: str) -> str:
    """Return the name in an ARN; a name with a path begins with a slash, which the ARN lacks."""
    if not value.startswith("arn:"):
        return value
    name = value.partition(":parameter/")[2]
    return f"/{name}" if "/" in name else name
